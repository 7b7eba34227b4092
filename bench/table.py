"""What do the repetitions say together? Medians with their spread, and what the gateway costs beside others.

`python -m bench.table FILE...` shows the results of earlier runs again.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson

OURS = "gateway"
BASES = ("nginx", "vllm-router")
COST = "CPU us/"
SMALL, LARGE = 10, 100
"""Below the one a figure has two decimals, above the other none."""

Row = Mapping[str, Any]
"""A line of the results: peer, repetition, figures, notes."""


@dataclass(frozen=True)
class Spread:
    """A figure over all repetitions."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value or more."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        """`median (low-high)`."""
        if self.low == self.high:
            return short(self.median)
        return f"{short(self.median)} ({short(self.low)}-{short(self.high)})"


def spreads(rows: Iterable[Row]) -> dict[str, dict[str, Spread]]:
    """By figure and then by peer; what a peer has no value for is not there."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for name, value in row["figures"].items():
            by_peer = values.setdefault(name, {})
            if value is not None:
                by_peer.setdefault(row["peer"], []).append(value)
    return {name: {peer: Spread.of(seen) for peer, seen in by_peer.items()} for name, by_peer in values.items()}


def ratios(rows: Sequence[Row]) -> list[str]:
    """A line for each cost and base: what the gateway takes of what the base takes, repetition by repetition.

    A repetition's ratio compares two windows that are minutes apart; the median of ratios forgives a machine that grows
    slower in the course of a run, which the ratio of medians does not.
    """
    lines = []
    names = [name for name in spreads(rows) if COST in name]
    for base in BASES:
        for name in names:
            seen = ratios_of(rows, name, base)
            if seen:
                lines.append(f"{OURS} / {base}, {name}: {Spread.of(seen)}")
    return lines


def render(rows: Sequence[Row]) -> str:
    """The table, the ratios and what else was seen."""
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    table = [["", *peers]]
    table += [[name, *(str(found.get(peer, "-")) for peer in peers)] for name, found in spreads(rows).items()]
    notes = [f"{row['peer']}, repetition {row['repetition']}: {note}" for row in rows for note in row["notes"]]
    repetitions = max((row["repetition"] for row in rows), default=0)
    plural = "" if repetitions == 1 else "s"
    parts = [f"Medians of {repetitions} repetition{plural} (lowest-highest)", *_aligned(table), "", *ratios(rows)]
    return "\n".join([*parts, *([""] if notes else []), *notes]).rstrip() + "\n"


def read_all(path: Path) -> list[Row]:
    """Every line of a file of results: what it says of the run itself, and the repetitions."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def read(paths: Iterable[Path]) -> list[Row]:
    """The repetitions in files of results."""
    return [line for path in paths for line in read_all(path) if "figures" in line]


def short(value: float) -> str:
    """Three digits, or all of the whole ones."""
    if abs(value) < SMALL:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < LARGE else f"{value:,.0f}"


def ratios_of(rows: Sequence[Row], name: str, base: str) -> list[float]:
    """The gateway's figure for each of another's, one for each repetition that has both."""

    def by_repetition(peer: str) -> dict[int, float | None]:
        return {row["repetition"]: row["figures"].get(name) for row in rows if row["peer"] == peer}

    ours, theirs = by_repetition(OURS), by_repetition(base)
    pairs = ((ours[number], theirs[number]) for number in ours if number in theirs)
    return [mine / other for mine, other in pairs if mine is not None and other]


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))])
        for first, *rest in table
    ]


if __name__ == "__main__":
    sys.stdout.write(render(read(map(Path, sys.argv[1:]))))
