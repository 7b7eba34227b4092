"""How many instructions did a process run? The processor counts them, `perf stat` reads the counters."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.processes import finished


def can_count() -> bool:
    """Whether `perf` is here and may read the processor's counters."""
    if shutil.which("perf") is None:
        return False
    done = finished(["perf", "stat", "-x,", "-e", "instructions:u", "true"])
    return done.returncode == 0 and instructions(done.stderr) is not None


def counting(pids: Sequence[int], report: Path) -> list[str]:
    """What to put before a command so that the instructions of `pids` during its life are written to `report`."""
    listed = ",".join(map(str, pids))
    return ["perf", "stat", "-x,", "-o", str(report), "-e", "instructions:u,instructions:k", "-p", listed]


def instructions(report: str) -> int | None:
    """The sum of perf's `-x,` report; None when a counter was not counted."""
    counts = [line.split(",")[0] for line in report.splitlines() if ",instructions:" in line]
    return sum(map(int, counts)) if counts and all(count.isdigit() for count in counts) else None
