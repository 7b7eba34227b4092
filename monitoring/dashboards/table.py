"""What is said of a panel? A row: its title, what it means, its unit, its queries, and where it becomes bad."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How a panel shows its figures."""

    LINES = "lines"
    STACKED = "stacked"
    """Lines on top of each other, whose sum means something."""
    FIGURE = "figure"
    """One number for now, with its course behind it."""
    STATES = "states"
    """Bars along the time, coloured by the state that a figure stands for."""


class Colour(StrEnum):
    """What a figure is worth, in Grafana's names."""

    GOOD = "green"
    LOOK = "yellow"
    BAD = "red"
    PLAIN = "blue"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Args:
        legend: what its series are called, with labels as `{{label}}`.
        instant: the newest figure alone is wanted: what a label says (`gateway_build_info`), not a course.
    """

    expr: str
    legend: str = ""
    instant: bool = False


Threshold = tuple[float | None, Colour]
"""From which value on a figure has a colour; None: from below all of them."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Args:
        description: what it shows and what to make of it, in a sentence or two.
        unit: Grafana's name of it.
        thresholds: in rising order.
        alerts: those of monitoring/prometheus/rules that watch this; the panel links to them and to their runbooks.
        states: for Kind.STATES, the word and the colour of each figure, from 1 on.
        top: what a share, or a gauge of known height, can be at most.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = Kind.LINES
    thresholds: Sequence[Threshold] = ((None, Colour.PLAIN),)
    alerts: Sequence[str] = ()
    states: Sequence[tuple[str, Colour]] = ()
    top: float | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under one headline."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at a dashboard's head.

    Args:
        label: the label whose values may be chosen, several at once.
        family: the metric that has them.
    """

    name: str
    family: str
    label: str


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard.

    Args:
        file: the name of its file, without its ending.
        uid: what links and alerts call it.
    """

    file: str
    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    sections: Sequence[Section] = field(default_factory=tuple)


def above(look: float, bad: float) -> tuple[Threshold, ...]:
    """Thresholds of a figure that is bad when it is high."""
    return ((None, Colour.GOOD), (look, Colour.LOOK), (bad, Colour.BAD))


def below(look: float, bad: float) -> tuple[Threshold, ...]:
    """Thresholds of a figure that is bad when it is low: under `look`, and under `bad`."""
    return ((None, Colour.BAD), (bad, Colour.LOOK), (look, Colour.GOOD))


def nothing_but(value: float) -> tuple[Threshold, ...]:
    """Thresholds of a figure of which anything from `value` on is bad."""
    return ((None, Colour.GOOD), (value, Colour.BAD))
