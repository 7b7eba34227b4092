"""Who is next? The emptier of two that chance chose, so that not all workers run to the emptiest at once."""

from collections.abc import Sequence
from random import Random

from gateway.core.fleet import Backend
from gateway.routing.policies.loads import Loads


class PowerOfTwo:
    """Two backends at random, the one with the smaller load first.

    Args:
        loads: how full each is.
        rng: chance.
    """

    def __init__(self, loads: Loads, rng: Random) -> None:
        self._loads = loads
        self._rng = rng

    async def order(self, group: str, backends: Sequence[Backend]) -> Sequence[Backend]:
        """The two, and the others behind them, in chance's order too."""
        del group
        shuffled = self._rng.sample(backends, len(backends))
        one, other = self._loads.of(shuffled[:2])
        if other < one:
            shuffled[0], shuffled[1] = shuffled[1], shuffled[0]
        self._loads.sent(shuffled[0].name)
        return shuffled

    def failed(self, backend: str) -> None:
        """It is charged for it."""
        self._loads.failed(backend)
