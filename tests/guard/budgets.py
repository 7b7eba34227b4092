"""What may a request cost? The figures of today, and how far above them the next change may go."""

import sys
from dataclasses import dataclass

ROOM_PERCENT = {"steps": 3.0, "entries": 1.0, "calls": 2.0, "blocks": 4.0, "size": 4.0}
"""A figure this much above its row fails. Counts repeat exactly, so that no noise needs the room: small changes do. An
entry more is a layer more, for which there is next to none."""
LOOSE_PERCENT = 10.0
"""A figure this much below its row fails too: the row would let as much come back unseen."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request, or one event of a stream, executes; see `meter`."""

    steps: int
    entries: int
    calls: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What the gateway's code holds for one stream between two events: blocks, and their bytes."""

    blocks: float
    size: float


@dataclass(frozen=True, slots=True)
class Budgets:
    """One interpreter's figures."""

    whole: Cost
    """A chat answer of 500 bytes on connections that are kept alive."""
    stream: Cost
    """A stream from its request to its second event, and its end: what it costs beside its further events."""
    event: Cost
    """Each further event, in a packet of its own."""
    held: Memory


BUDGETS: dict[tuple[int, int], Budgets] = {
    (3, 11): Budgets(
        whole=Cost(steps=4890, entries=165, calls=161),
        stream=Cost(steps=7407, entries=267, calls=245),
        event=Cost(steps=496, entries=16, calls=18),
        held=Memory(blocks=22.1, size=4730),
    ),
    (3, 13): Budgets(
        whole=Cost(steps=4514, entries=162, calls=160),
        stream=Cost(steps=6740, entries=264, calls=243),
        event=Cost(steps=476, entries=16, calls=18),
        held=Memory(blocks=22.6, size=4640),
    ),
}
"""By CPython's version: each compiles to other instructions. A failing test says what to write here."""


def budgets() -> Budgets | None:
    """This interpreter's row, if it has one."""
    return BUDGETS.get(sys.version_info[:2])


def verdict(name: str, figure: float, budget: float) -> str:
    """What is wrong with a figure; empty: nothing."""
    percent = 100 * (figure - budget) / budget
    if percent > ROOM_PERCENT[name]:
        room = ROOM_PERCENT[name]
        return f"{name}: {figure:g} is {percent:.1f} % above the budget of {budget:g}, {room:g} % are let pass"
    if percent < -LOOSE_PERCENT:
        return f"{name}: {figure:g} is {-percent:.1f} % below the budget of {budget:g}: write the new figure down"
    return ""
