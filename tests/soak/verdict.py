"""Was anything lost, and did anything stay? The figures of a run against what was promised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.soak.books import Books
from tests.soak.killing import Death
from tests.soak.load import OK, Loss, Tally
from tests.soak.looks import Rest, Sample

MAX_SLOPE = 1.0
"""MiB a minute, after the warm-up."""
WARM_UP = 1 / 3
"""The share of a run in which caches fill and allocators find their size."""
NOTICED_SECS = 20.0
"""A visitor asks all the time: within this it notices that its connection has died."""
LEAST_SPAN_SECS = 120.0
"""After the warm-up; over less time the noise of a few MiB is a slope of several MiB a minute."""
LEAST_LEFT = 0.15
"""The share of requests whose clients must have left: where fewer do, departures were not tried."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is known after a run.

    Args:
        prefixes: what the ids of each killed worker's requests began with, from the log.
        twice: ids of requests that the simulators ran more than once.
        abandoned: sequences that the engines ran on after everybody had gone.
        seats: taken while the load ran.
    """

    tally: Tally
    deaths: Sequence[Death]
    prefixes: Sequence[str]
    samples: Sequence[Sample]
    names: Mapping[int, str]
    before: Rest
    after: Rest
    twice: Sequence[str]
    abandoned: int
    seats: int
    books: Books


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; `holds` is None where nothing was promised."""

    what: str
    figure: str
    promised: str = ""
    holds: bool | None = None


def died_with_its_worker(loss: Loss, deaths: Sequence[Death], prefixes: Sequence[str]) -> bool:
    """Whether a killed worker held the request: by the request's id, or where none came by its connection."""
    if loss.request_id:
        return loss.request_id.startswith(tuple(prefixes))
    return any(loss.port in death.ports and abs(loss.at - death.at) < NOTICED_SECS for death in deaths)


def unexplained(outcome: Outcome) -> list[Loss]:
    """The losses that no killed worker accounts for."""
    known = (outcome.deaths, outcome.prefixes)
    return [loss for loss in outcome.tally.losses if not died_with_its_worker(loss, *known)]


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """By how much the second grows while the first goes on by 60, on the line that fits best (least squares)."""
    middle = sum(x for x, _ in samples) / len(samples)
    spread = sum((x - middle) ** 2 for x, _ in samples)
    return 60 * sum((x - middle) * y for x, y in samples) / spread


def warm(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples after the warm-up."""
    first, last = samples[0].at, samples[-1].at
    return [sample for sample in samples if sample.at >= first + WARM_UP * (last - first)]


def table(outcome: Outcome) -> list[Line]:
    """The lines, in the order in which they are told."""
    tally, lost = outcome.tally, len(unexplained(outcome))
    left = tally.left / max(1, tally.asked)
    refused = sum(count for status, count in tally.statuses.items() if status != OK)
    return [
        Line("requests", f"{tally.asked:,}"),
        Line("  whole answers", f"{tally.statuses[OK]:,}"),
        Line(
            "  left by their clients", f"{tally.left:,} ({left:.0%})", f"at least {LEAST_LEFT:.0%}", left >= LEAST_LEFT
        ),
        Line("kills", f"{len(outcome.deaths)}", "at least 1", bool(outcome.deaths)),
        Line("  died with a killed worker", f"{len(tally.losses) - lost:,}"),
        Line("  lost otherwise", f"{lost}", "0", lost == 0),
        Line("  refused", f"{refused}", "0", refused == 0),
        Line("  short of tokens", f"{len(tally.short)}", "0", not tally.short),
        Line("  run twice", f"{len(outcome.twice)}", "0", not outcome.twice),
        Line("  run on for nobody", f"{outcome.abandoned}", "0", outcome.abandoned == 0),
        *_written(outcome),
        Line("seats taken at half-time", f"{outcome.seats}", "at least 1", outcome.seats > 0),
        *_remains(outcome.before, outcome.after),
        *(_growth(outcome, pid) for pid in outcome.names),
    ]


def _written(outcome: Outcome) -> list[Line]:
    """A request whose client left before it was read is neither written nor counted, so asked is the most there is."""
    books, asked = outcome.books, outcome.tally.asked
    counted = f"{books.lines:,} lines, {books.counted:,} counted"
    of_killed = f"{books.last_lines:,} lines, {books.last_counted:,} counted"
    in_all = books.counted + books.last_counted
    return [
        Line("  answered without an access line", f"{len(books.unwritten)}", "0", not books.unwritten),
        Line("  with several access lines", f"{len(books.repeated)}", "0", not books.repeated),
        Line("  access lines and the counter", counted, "as many", books.lines == books.counted and in_all <= asked),
        Line("  the same of killed workers", of_killed, "no more lines", books.last_lines <= books.last_counted),
    ]


def _remains(before: Rest, after: Rest) -> list[Line]:
    zeros = {
        "slots and places held": after.slots,
        "leases in the store": after.leases,
        "seats in the store": after.seats,
        "sequences in the engines": after.running,
        "workers' connections": after.connections,
    }
    counts = {
        "descriptors of the oldest worker": (before.descriptors, after.descriptors),
        "descriptors of the supervisor": (before.supervisor_descriptors, after.supervisor_descriptors),
        "tasks of a worker": (before.tasks, after.tasks),
    }
    return [
        *(Line(what, f"{figure}", "0", figure == 0) for what, figure in zeros.items()),
        *(Line(what, f"{now}", f"{then}, as before", now <= then) for what, (then, now) in counts.items()),
    ]


def _growth(outcome: Outcome, pid: int) -> Line:
    name = f"memory of the {outcome.names[pid]}"
    points = [(sample.at, sample.memory[pid]) for sample in warm(outcome.samples)]
    if (span := points[-1][0] - points[0][0]) < LEAST_SPAN_SECS:
        return Line(name, f"{points[-1][1]:.1f} MiB, not measured", f"{LEAST_SPAN_SECS:g} s; it was {span:.0f}")
    grown = slope(points)
    return Line(name, f"{points[-1][1]:.1f} MiB, {grown:+.2f} a minute", f"under {MAX_SLOPE:+g}", grown < MAX_SLOPE)
