"""Whose request gets the next free seat? The discipline of one group's seats, the same for every store.

What is known of a backend is a pair: seats taken, and how many of those who wait could use one.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from gateway.store.line import may_start

Place = TypeVar("Place")
Candidates = TypeVar("Candidates", bound=Hashable)

NOWHERE = -1


def is_due(backends: Iterable[tuple[int, int]], limit: int) -> bool:
    """Is there a free seat that anybody who waits could use?"""
    return any(wanted and taken < limit for taken, wanted in backends)


def choose(backends: Sequence[tuple[int, int]], limit: int, *, for_who_waits: bool = False) -> int:
    """Which of these has a free seat and the fewest taken? `NOWHERE`: none has.

    A newcomer leaves those that somebody waits for.
    """
    free = [
        (taken, index)
        for index, (taken, wanted) in enumerate(backends)
        if may_start(taken, 0 if for_who_waits else wanted, limit)
    ]
    return min(free)[1] if free else NOWHERE


def whose_turn(
    waiting: Iterable[tuple[Place, Candidates]], seat_at: Callable[[Candidates], int]
) -> tuple[Place, int] | None:
    """The first place that can become a seat, and at which of its candidates; its organization then stands last.

    Args:
        waiting: who waits: organizations in the order of the rota, the requests of each from the oldest on.
        seat_at: at which of the candidates there is a free seat, or `NOWHERE`; asked once for those that are alike.
    """
    useless = set[Candidates]()
    for place, candidates in waiting:
        if candidates in useless:
            continue
        choice = seat_at(candidates)
        if choice != NOWHERE:
            return place, choice
        useless.add(candidates)
    return None
