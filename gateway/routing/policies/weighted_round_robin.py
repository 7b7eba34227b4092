"""Who is next? Every backend in turn, the heavier ones more often, and never many times in a row."""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from math import gcd

from gateway.core.fleet import Backend

KEPT_CYCLES = 64
"""Cycles that are remembered: one for each set of backends that happen to be available together."""


class WeightedRoundRobin:
    """Backends take turns by weight; the turn's number, counted over all workers, picks from one cycle.

    Args:
        next_turn: counts 0, 1, 2, ... for a group, by its name.
    """

    def __init__(self, next_turn: Callable[[str], Awaitable[int]]) -> None:
        self._next_turn = next_turn
        self._cycle = lru_cache(KEPT_CYCLES)(smooth)

    async def order(self, group: str, backends: Sequence[Backend]) -> Sequence[Backend]:
        """The backend whose turn it is, then the others in the order in which theirs come."""
        cycle = self._cycle(tuple(backend.weight for backend in backends))
        turn = await self._next_turn(group) % len(cycle)
        coming = dict.fromkeys(cycle[turn:] + cycle[:turn])
        return tuple(backends[place] for place in coming)

    def failed(self, backend: str) -> None:
        """A turn is a turn: who fails is left by the breaker, not by us."""


def smooth(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Places 0 to `len(weights) - 1`, each as often as its weight says and spread evenly, as nginx spreads them.

    Each round everybody gains its weight, and whoever has most is taken and pays the sum of all: weights 5, 1 and 1
    give 0 0 1 0 2 0 0.
    """
    common = gcd(*weights)
    shares = [weight // common for weight in weights]
    total = sum(shares)
    gained = [0] * len(shares)
    cycle = []
    for _ in range(total):
        gained = [have + share for have, share in zip(gained, shares, strict=True)]
        chosen = max(range(len(gained)), key=gained.__getitem__)
        gained[chosen] -= total
        cycle.append(chosen)
    return tuple(cycle)
