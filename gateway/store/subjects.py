"""What is a decision about? A word for it, by where it stands, under which its time and its failures are shown."""

from collections.abc import Iterator
from itertools import cycle
from typing import Final

from gateway.store import booking, eviction, holdings, journal, seating, shelf, slots

SAMPLE: Final = 31
"""One decision of so many is timed: what a look at the clock costs, and at the page of figures, is spread over them. A
prime: what a worker does each tick would else hide behind its own rhythm."""

TURN: Final = "turn"
UPKEEP: Final = "upkeep"
"""What nobody's request does."""
SERVER: Final = "server_"
"""Stands before the subject where the server of several hosts decides."""

SUBJECTS: Final = {
    eviction.__name__: "bucket",
    slots.__name__: "slot",
    seating.__name__: "seat",
    booking.__name__: "account",
    holdings.__name__: "account",
    shelf.__name__: "account",
    journal.__name__: "journal",
    "gateway.store.lmdb": "slot",  # which refuses whom there is no room for, and knows this module from above
}

DECIDED_BY_SERVER: Final = ("bucket", "slot", "seat", "account", UPKEEP)


def subject_of(decision: object) -> str:
    """One of the words above; `upkeep` for everything else."""
    if decision is slots.next_turn:
        return TURN
    return SUBJECTS.get(getattr(decision, "__module__", ""), UPKEEP)


def subjects(*, shared: bool) -> tuple[str, ...]:
    """All words that a store tells `Timings`; `shared`: several hosts have a server."""
    own = (*dict.fromkeys(SUBJECTS.values()), TURN, UPKEEP)
    return (*own, *(SERVER + subject for subject in DECIDED_BY_SERVER)) if shared else own


def samples() -> Iterator[bool]:
    """For each decision, whether it is to be timed; the first is."""
    return cycle([True] + [False] * (SAMPLE - 1))
