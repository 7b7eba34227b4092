"""Who is next? Every backend in turn, the heavier ones more often, and never many times in a row."""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from math import gcd
from operator import add

from gateway.core.fleet import Backend

KEPT_CYCLES = 16
"""Cycles that are remembered: one for each set of backends that happen to be available together. Each has 0.6 MB where
64 of them share as many turns as they may (MAX_TURNS in backends/settings.py), 0.2 KB for two at 2:1."""


class WeightedRoundRobin:
    """Backends take turns by weight; the turn's number, counted over all workers, picks from one cycle.

    Args:
        next_turn: counts 0, 1, 2, ... for a group, by its name.
    """

    def __init__(self, next_turn: Callable[[str], Awaitable[int]]) -> None:
        self._next_turn = next_turn
        self._cycle = lru_cache(KEPT_CYCLES)(orders)

    async def order(self, group: str, backends: Sequence[Backend]) -> Sequence[Backend]:
        """The backend whose turn it is, then the others in the order in which theirs come."""
        cycle = self._cycle(tuple(backend.weight for backend in backends))
        turn = await self._next_turn(group) % len(cycle)
        return tuple([backends[place] for place in cycle[turn]])

    def failed(self, backend: str) -> None:
        """A turn is a turn: who fails is left by the breaker, not by us."""


def orders(weights: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """For each turn of the cycle all places in the order in which their next turns come, its own first."""
    cycle = smooth(weights)
    coming = list(dict.fromkeys(cycle))
    backwards = []
    for place in reversed(cycle):
        coming.remove(place)
        coming.insert(0, place)
        backwards.append(tuple(coming))
    return tuple(reversed(backwards))


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
        gained = list(map(add, gained, shares))
        chosen = gained.index(max(gained))
        gained[chosen] -= total
        cycle.append(chosen)
    return tuple(cycle)
