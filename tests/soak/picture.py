"""What did the run look like? Memory, answers a second and waiting times over time, with a line at each kill."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.soak.verdict import Outcome

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 9, 7, 100
KILL_COLOUR = "#c44e52"
SLOW = 0.99


def draw(outcome: Outcome, file: Path) -> bool:
    """Write the picture; False where matplotlib is not installed (`make bench` installs it)."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 -- not among what a developer needs
    except ImportError:
        return False
    began = outcome.samples[0].at
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    memory, rate, waits = figure.subplots(3, sharex=True)
    for pid, name in outcome.names.items():
        memory.plot([s.at - began for s in outcome.samples], [s.memory[pid] for s in outcome.samples], label=name)
    memory.set_ylabel("resident MiB")
    memory.legend(frameon=False)
    seconds = _by_second([(at - began, wait) for at, wait in outcome.tally.waits])
    rate.plot(list(seconds), [len(found) for found in seconds.values()])
    rate.set_ylabel("whole answers a second")
    waits.plot(list(seconds), [sorted(found)[int(SLOW * (len(found) - 1))] for found in seconds.values()])
    waits.set_ylabel("p99 of a second, s")
    waits.set_xlabel(f"seconds; a line is a kill -9 of a worker ({len(outcome.deaths)} of them)")
    for axes in (memory, rate, waits):
        axes.margins(y=0.2)
        axes.set_ylim(bottom=0)
        for death in outcome.deaths:
            axes.axvline(death.at - began, color=KILL_COLOUR, linewidth=0.7)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DOTS_PER_INCH)
    return True


def _by_second(points: Sequence[tuple[float, float]]) -> dict[int, list[float]]:
    count = Counter(int(at) for at, _ in points)
    return {second: [wait for at, wait in points if int(at) == second] for second in sorted(count)}
