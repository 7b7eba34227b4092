"""How are findings shown? As lines for people, the worst in colour, or as JSON for scripts."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import click

from gateway.cli.doctor.finding import Found, Level

WIDTH = 118
COLOURS: Mapping[Level, str] = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.ERROR: "red"}
INDENT = 24
"""Where what was seen begins: behind the level and the check's name."""


def as_json(found: Sequence[Found], *, simulated: bool) -> dict[str, Any]:
    """For scripts; `ok` is what the exit status says."""
    counts = Counter(one.finding.level for one in found)
    return {
        "ok": not counts[Level.ERROR],
        "simulated": simulated,
        "counts": {level.value: counts[level] for level in Level},
        "findings": [
            {
                "subject": one.subject,
                "check": one.check,
                "level": one.finding.level.value,
                "seen": one.finding.seen,
                "means": one.finding.means,
                "mend": one.finding.mend,
            }
            for one in found
        ],
    }


def as_lines(found: Sequence[Found]) -> Iterator[str]:
    """For people: a block for each subject, and what it comes to at the end."""
    for subject, of_it in groupby(found, key=lambda one: one.subject):
        yield click.style(subject, bold=True)
        for one in of_it:
            level = one.finding.level
            head = click.style(f"  {level.value:<8}", fg=COLOURS[level]) + f"{one.check:<{INDENT - 10}}"
            first, *rest = _wrapped(one.finding.seen)
            yield f"{head}{first}"
            yield from (" " * INDENT + line for line in rest)
            for label, words in (("means", one.finding.means), ("mend", one.finding.mend)):
                if words:
                    # A command stands on one line, however long: it is there to be copied.
                    lines = _wrapped(words, WIDTH - 7) if label == "means" else [words]
                    yield f"{' ' * INDENT}{label + ':':<7}{lines[0]}"
                    yield from (" " * (INDENT + 7) + line for line in lines[1:])
        yield ""
    yield verdict(Counter(one.finding.level for one in found))


def _wrapped(words: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(words, width - INDENT, break_long_words=False, break_on_hyphens=False) or [""]


def verdict(counts: Mapping[Level, int]) -> str:
    """What it comes to, in a sentence."""
    errors, warnings = counts.get(Level.ERROR, 0), counts.get(Level.WARNING, 0)
    several = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    if errors:
        return click.style(f"{several}: the stack will not do before the errors are mended", fg="red")
    return click.style(several if warnings else "all is well", fg="yellow" if warnings else "green")
