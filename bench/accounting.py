"""What has a process used, its descendants included? CPU in ns and memory, as the kernel counts them."""

import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CPUCLOCK_SCHED = 2
"""The clock behind clock_getcpuclockid(3): time on a core, in ns."""
RESET_PEAK = "5"
"""What /proc/PID/clear_refs takes to begin a new VmHWM (proc(5))."""
KIB = 1024
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""What /proc/stat counts in."""
WORKED = (0, 1, 2, 5, 6)
"""The columns of a core in /proc/stat (proc(5)) in which it worked: user, nice, system, irq, softirq."""


def tree(pid: int) -> list[int]:
    """The process and its living descendants, parents first; empty when it is gone."""
    if not Path(f"/proc/{pid}").exists():
        return []
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def cpu_ns(pids: Iterable[int]) -> int:
    """Time on a core, all threads together.

    The process's CPU clock is what /proc/PID/task/*/schedstat adds up to, and in it threads that have ended still
    count. A process that has ended does not.
    """
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED)
    return total


def worked_ns(cores: Iterable[int]) -> int:
    """Time that cores have worked, for whomever, to the hundredth of a second."""
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    ticks = {name: [int(column) for column in columns] for name, *columns in lines if name.startswith("cpu")}
    return sum(ticks[f"cpu{core}"][column] for core in cores for column in WORKED) * TICK_NS


def memory_mib(pids: Iterable[int], field: str = "VmRSS") -> float:
    """A field of /proc/PID/status, summed: `VmRSS` now, `VmHWM` the peak since `reset_peak`."""
    kib = 0
    for pid in pids:
        with suppress(OSError):
            found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            kib += int(found[1]) if found else 0
    return kib / KIB


def reset_peak(pids: Iterable[int]) -> None:
    """Let the peak begin with what is resident now."""
    for pid in pids:
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
