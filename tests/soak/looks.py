"""What do the processes hold? Memory, descriptors, connections, tasks, slots and leases, as seen from outside."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.clock import SystemClock
from gateway.store.lmdb import LmdbStore
from gateway.store.settings import StoreSettings
from tests.soak.killing import connections_of
from tests.soak.load import Tally
from tests.soak.pausing import is_over
from tests.support.gateway import Gateway, wait_until
from tests.support.simulators import Simulator

MIB = 1024
"""KiB in it: what /proc counts in."""
INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look while the load runs: `memory` is resident MiB by process, `asked` the requests so far."""

    at: float
    memory: Mapping[int, float]
    asked: int


@dataclass(frozen=True, slots=True)
class Rest:
    """What is held when nobody asks.

    Args:
        slots: requests that hold one or wait for one, as /metrics says.
        leases: the same, as the shared store says.
        seats: at backends, and places in the lines before them, as the shared store says.
        running: sequences in the engines.
        connections: of all workers, to clients and backends.
        descriptors: of the oldest worker.
        supervisor_descriptors: of the process that starts the workers.
        tasks: of the worker that has most.
    """

    slots: int
    leases: int
    seats: int
    running: int
    connections: int
    descriptors: int
    supervisor_descriptors: int
    tasks: int

    @property
    def held(self) -> int:
        """All that must be nothing."""
        return self.slots + self.leases + self.seats + self.running + self.connections

    def is_calm(self, before: "Rest | None") -> bool:
        """Whether nothing is held, and the processes have no more open or to do than they had before."""
        if before is None or self.held:
            return not self.held
        now = (self.descriptors, self.supervisor_descriptors, self.tasks)
        then = (before.descriptors, before.supervisor_descriptors, before.tasks)
        return all(one <= other for one, other in zip(now, then, strict=True))


def memory_of(pid: int) -> float:
    """Resident MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / MIB


async def sample_now_and_then(
    pids: tuple[int, ...], every: float, tally: Tally, samples: list[Sample], over: asyncio.Event
) -> None:
    """Look at the processes every so many seconds."""
    while not over.is_set():
        samples.append(Sample(time.monotonic(), {pid: memory_of(pid) for pid in pids}, tally.asked))
        await is_over(over, every)


async def rest(gateway: Gateway, servers: Mapping[str, Simulator], store: Path, folder: Path) -> Rest:
    """What is held now."""
    supervisor = _descriptors(gateway.pid)  # before it is asked, which takes one for a moment
    metrics = gateway.metrics()
    slots = sum(metrics.get(name, 0) for name in ("gateway_in_flight_requests", "gateway_queued_requests"))
    workers = gateway.worker_pids()
    return Rest(
        int(slots),
        *await leases_and_seats(store),
        running_in(servers),
        sum(connections_of(pid) for pid in workers),
        _descriptors(workers[0]),
        supervisor,
        max(_tasks(pid, folder) for pid in workers),
    )


def running_in(servers: Mapping[str, Simulator]) -> int:
    """Sequences that run or wait in the engines."""
    states = [server.state() for server in servers.values()]
    return sum(state["running"] + state["waiting"] for state in states)


async def leases_and_seats(path: Path) -> tuple[int, int]:
    """What the store that the workers share has, waiting ones included: this process joins them for a moment."""
    store = LmdbStore(StoreSettings(limiter_path=path), SystemClock())
    await store.open()
    try:
        counts = store.counts()
        seats = sum(group.queued + sum(group.taken.values()) for group in store.seat_counts())
        return counts.in_flight + counts.queued, seats
    finally:
        await store.close()


def has_catalog(pid: int) -> bool:
    """Whether a worker has opened what a control process publishes in the catalog, a while after the workers serve."""
    found = False
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed meanwhile
            found |= link.readlink().match("catalog/*/data.mdb")
    return found


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _tasks(pid: int, folder: Path) -> int:
    """How many asyncio tasks a process runs; see inside/sitecustomize.py."""
    file = folder / f"{pid}.tasks"
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR2)
    wait_until(file.exists, what=f"process {pid} does not count its tasks")
    return len(file.read_text(encoding="utf-8").splitlines())
