"""What may a request cost? The figures of today, and how far from them the next change may come.

The counts repeat to the last one, on any machine and under any load; what is held, to a third of a percent. Another
patch release of an interpreter may bring a few steps more or less in its standard library.
"""

import sys
from dataclasses import asdict, dataclass

ROOM_PERCENT = {"steps": 1.0, "entries": 0.0, "calls": 1.0, "blocks": 2.0, "size": 2.0}
"""A figure this much above its budget fails, and one this much below: a loose budget lets as much come back unseen.

An entry more is a layer more, which no room is meant for. A block is a hundredth of a stream's state or more."""


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
    """A stream that has sent two events, connections aside."""


BUDGETS: dict[tuple[int, int], Budgets] = {
    (3, 11): Budgets(
        whole=Cost(steps=4459, entries=128, calls=129),
        stream=Cost(steps=6595, entries=210, calls=204),
        event=Cost(steps=302, entries=7, calls=16),
        held=Memory(blocks=28.2, size=5011),
    ),
    (3, 13): Budgets(
        whole=Cost(steps=4139, entries=128, calls=129),
        stream=Cost(steps=6127, entries=210, calls=204),
        event=Cost(steps=275, entries=7, calls=16),
        held=Memory(blocks=28.2, size=4919),
    ),
}
"""By CPython's version: each compiles to other instructions. A failing test says what to write here."""

ADVICE = {
    True: (
        "That is more than was allowed for. Look below for what has grown, and make it cheaper; "
        "where the cost is meant, say in the commit what it buys, and write it down."
    ),
    False: "That is less than was allowed for: write it down, so that what was won stays won.",
}


def budgets() -> Budgets | None:
    """This interpreter's row, if it has one."""
    return BUDGETS.get(sys.version_info[:2])


def verdict(name: str, figure: float, budget: float) -> str:
    """What is wrong with a figure; empty: nothing."""
    percent = 100 * (figure - budget) / budget
    room = ROOM_PERCENT[name]
    if abs(percent) <= room:
        return ""
    side = "above" if percent > 0 else "below"
    return f"{name}: {figure:g} is {abs(figure - budget):g} ({abs(percent):.1f} %) {side} the budget of {budget:g}"


def objections(figures: dict[str, float], budget: Cost | Memory) -> dict[str, str]:
    """What is out of bounds, by the names of the figures."""
    found = {name: verdict(name, figures[name], allowed) for name, allowed in asdict(budget).items()}
    return {name: said for name, said in found.items() if said}


def complaint(kind: str, figures: dict[str, float], dearest: str, budget: Cost | Memory) -> str:
    """What a developer is told whose change moved a figure out of bounds; empty: none is.

    Args:
        kind: the name of the budget in its row.
        figures: as measured, by their names.
        dearest: where most of it arises.
        budget: what was allowed.
    """
    found = objections(figures, budget)
    if not found:
        return ""
    version = sys.version_info[:2]
    row = ", ".join(f"{name}={round(value, 1):g}" for name, value in figures.items())
    return "\n".join(
        [
            *found.values(),
            ADVICE[any(figures[name] > allowed for name, allowed in asdict(budget).items() if name in found)],
            f"The budget is in tests/guard/budgets.py, in the row {version}; the other rows are of other interpreters:",
            f"    {kind}={type(budget).__name__}({row}),",
            f"To measure: python -m tests.guard.measure {kind}",
            dearest,
        ]
    )
