"""How is this process? What it says of itself once a second: its loop, its CPU and memory, its connections."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from resource import getpagesize
from typing import Final

from gateway.observability.families.processes import (
    CONNECTIONS,
    LOOP_LAG,
    PROCESS_CPU,
    PROCESS_RESIDENT,
)
from gateway.observability.gauge import Gauge
from gateway.observability.metrics import Metrics

SUPERVISOR, WORKER, CONTROL = "supervisor", "worker", "control"
"""The kinds of processes that there are."""
STATM: Final = Path("/proc/self/statm")
"""proc(5): sizes in pages, the second of which is what is resident."""

Upstream = Callable[[], tuple[int, int, int]]
"""Open connections to backends, idle ones among them, and requests that wait for one."""


class ProcessFigures:
    """What one process uses.

    Counted by itself, not looked up by its supervisor: what it has counted outlives it, as all of its figures do.

    Args:
        metrics: the process's.
        process: its kind.
    """

    def __init__(self, metrics: Metrics, process: str) -> None:
        self._cpu = Gauge(metrics, PROCESS_CPU, process)
        self._resident = Gauge(metrics, PROCESS_RESIDENT, process)

    def beat(self) -> None:
        """Take the figures of now; some 20 us."""
        self._cpu.set(time.process_time())
        with contextlib.suppress(OSError):  # there is no descriptor left: the figure before stands
            self._resident.set(resident_bytes())


class WorkerFigures:
    """The same of a worker, and how its loop and its connections are.

    Args:
        metrics: the worker's.
        upstream: its connections to backends.
    """

    def __init__(self, metrics: Metrics, upstream: Upstream) -> None:
        self._process = ProcessFigures(metrics, WORKER)
        self._lag = metrics.distribution(LOOP_LAG)
        self._client, self._busy, self._idle = (
            Gauge(metrics, CONNECTIONS, side) for side in ("client", "upstream_busy", "upstream_idle")
        )
        self._upstream = upstream

    def beat(self, late: float, clients: int) -> None:
        """Take the figures of now: the beat came so many seconds late, and so many clients are connected."""
        self._lag.observe(late)
        self._client.set(clients)
        there_are, idle, _ = self._upstream()
        self._busy.set(there_are - idle)
        self._idle.set(idle)
        self._process.beat()


def resident_bytes() -> int:
    """The memory of this process that is resident.

    Raises:
        OSError: it cannot be asked for.
    """
    return int(STATM.read_bytes().split()[1]) * getpagesize()
