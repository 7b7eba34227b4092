"""Who is next? Whoever has the least to do."""

from collections.abc import Sequence
from random import Random

from gateway.core.fleet import Backend
from gateway.routing.policies.loads import Loads


class LeastInflight:
    """The backend with the smallest load, over all workers; chance decides among equals.

    Args:
        loads: how full each is.
        rng: chance.
    """

    def __init__(self, loads: Loads, rng: Random) -> None:
        self._loads = loads
        self._rng = rng

    async def order(self, group: str, backends: Sequence[Backend]) -> Sequence[Backend]:
        """The backends, the emptiest first."""
        del group
        ranked = sorted(zip(self._loads.of(backends), self._draws(len(backends)), range(len(backends)), strict=True))
        first = backends[ranked[0][2]]
        self._loads.sent(first.name)
        return tuple(backends[place] for _, _, place in ranked)

    def failed(self, backend: str) -> None:
        """It is charged for it."""
        self._loads.failed(backend)

    def _draws(self, count: int) -> list[float]:
        return [self._rng.random() for _ in range(count)]
