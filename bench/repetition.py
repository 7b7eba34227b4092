"""What is one repetition? All peers are started, take turns at every load, are left in mid-answer, and ended."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from statistics import fmean
from typing import Any

from bench.accounting import cpu_ns, memory_mib, reset_peak, tree
from bench.cores import Cores
from bench.figures import Figures, added, failures, of_counted, of_crowd, of_window
from bench.instruments.build import Instruments
from bench.instruments.mock import Mock
from bench.peers import PEERS, SCALING, Peer, Surroundings
from bench.plan import Plan
from bench.processes import finished, poll, running
from bench.visits import ask, departure_ms
from bench.windows import Load, Target, Window, as_row, measure

START_SECS = 90.0
REST_SECS = 1.0
"""Between the first answer and the look at the memory: what a start has left to do."""
LOG_TAIL = 2000
OK, UNAUTHORIZED = 200, 401


class StartError(Exception):
    """A peer did not start; the message is the end of its log."""


@dataclass(frozen=True)
class Bench:
    """What all repetitions share.

    Args:
        around: what the peers are started in.
        counts_instructions: whether the processor's counters can be read.
    """

    around: Surroundings
    instruments: Instruments
    mock: Mock
    cores: Cores
    plan: Plan
    counts_instructions: bool


@dataclass(frozen=True)
class Started:
    """A running peer and what its start took; None where it runs already."""

    target: Target
    start_s: float | None = None
    start_cpu_s: float | None = None


@dataclass
class Record:
    """What a repetition has shown so far."""

    figures: Figures = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    windows: dict[str, Any] = field(default_factory=dict)
    failed: int = 0
    calib_ms: list[float] = field(default_factory=list)

    def take(self, load: Load, window: Window) -> None:
        """Add a timed window."""
        self.figures |= of_window(load, window)
        self.windows[load.name] = as_row(window)
        self.failed += failures(window)
        self.calib_ms += window.calib_ms

    @contextmanager
    def noting_failed_starts(self) -> Iterator[None]:
        """A peer that does not start is no end of the run."""
        try:
            yield
        except StartError as error:
            self.notes.append(str(error))

    def shown(self) -> dict[str, Any]:
        """The figures, and what is to be said of them; no figures of a peer that did not start."""
        if not self.figures:
            return {"figures": {}, "notes": self.notes}
        figures = self.figures | added(self.figures)
        figures["failed answers"] = self.failed
        figures["core: ms for fixed work"] = fmean(self.calib_ms) if self.calib_ms else None
        return {"figures": figures, "notes": self.notes, "windows": self.windows}


def repeat(bench: Bench, names: Sequence[str], number: int) -> list[dict[str, Any]]:
    """One repetition of all peers, a line of the results for each; one that did not start has no figures.

    They run beside each other, and each load is put on one after the other: windows that are compared lie seconds
    apart. Peers that wait take next to nothing of the core.
    """
    records = {name: Record() for name in names}
    with ExitStack() as running_peers:
        alive = {name: _begun(bench, name, records[name], running_peers) for name in names}
        present = {name: started for name, started in alive.items() if started is not None}
        _on_one_core(bench, present, records)
    for load, name in product(bench.plan.crowds, present):
        with records[name].noting_failed_starts():
            _crowd(bench, name, load, records[name])
    for (workers, load), name in product(bench.plan.scaled.items(), present):
        if name in SCALING:
            with records[name].noting_failed_starts():
                _scaled(bench, name, workers, load, records[name])
    return [{"peer": name, "repetition": number, **record.shown()} for name, record in records.items()]


def _begun(bench: Bench, name: str, record: Record, running_peers: ExitStack) -> Started | None:
    """A peer that runs until the others have been measured, too; None: it did not start."""
    with record.noting_failed_starts():
        return running_peers.enter_context(_started(bench, name, bench.cores.gateway))
    return None


@contextmanager
def _started(bench: Bench, name: str, cores: frozenset[int], workers: int = 1) -> Iterator[Started]:
    """A peer that has answered once."""
    peer = PEERS[name](replace(bench.around, workers=workers))
    if peer is None:
        raise StartError(f"{name} is not installed any more")
    folder = bench.around.folder
    target = Target(peer.port, None, bench.mock, bench.instruments, bench.cores, folder)
    if not peer.argv:
        yield Started(target)
        return
    log = folder / f"{name}.log"
    began = time.monotonic()
    with running(peer.argv, cores=cores, folder=folder, log=log, environment=peer.environment) as child:
        for _ in poll(START_SECS):
            if ask(peer.port) == OK:
                took = time.monotonic() - began
                yield Started(replace(target, pid=child.pid), took, cpu_ns(tree(child.pid)) / 1e9)
                return
            if child.poll() is not None:
                break
    raise StartError(f"{name} did not start:\n{log.read_text(errors='replace')[-LOG_TAIL:]}")


def _on_one_core(bench: Bench, peers: Mapping[str, Started], records: Mapping[str, Record]) -> None:
    """All that one start of each peer can show."""
    rest = {name: _at_rest(started, records[name]) for name, started in peers.items()}
    for load in (bench.plan.warm_up, *bench.plan.timed):
        for name, started in peers.items():
            _load(started.target, load, records[name] if load is not bench.plan.warm_up else Record())
    for load in bench.plan.counted:
        for name, started in peers.items():
            counts = bench.counts_instructions and started.target.pid
            counted = measure(started.target, load, counted=True) if counts else None
            records[name].figures |= of_counted(load, counted)
    for name, started in peers.items():
        record, target = records[name], started.target
        if bench.plan.departures:
            _departures(target, record.figures, record.notes)
        if ask(target.port) != OK:
            record.notes.append("no answer after the loads")
        if target.pid:
            record.figures |= _of_start(started, rest[name])


@dataclass(frozen=True)
class Rest:
    """What a peer's processes have at rest, by process: MiB of memory, and the CPU time that they had used."""

    mib: dict[int, float]
    used_ns: dict[int, int]


def _at_rest(started: Started, record: Record) -> Rest:
    """Look at a peer that has just started."""
    target = started.target
    if target.pid:
        time.sleep(REST_SECS)
        if (status := ask(target.port, "wrong")) != UNAUTHORIZED:
            record.notes.append(f"a wrong key is answered {status}")
    pids = target.pids()
    rest = Rest({pid: memory_mib([pid]) for pid in pids}, {pid: cpu_ns([pid]) for pid in pids})
    reset_peak(pids)
    return rest


def _of_start(started: Started, rest: Rest) -> Figures:
    """What a start took, and the memory before and under the loads."""
    serving = max(rest.mib, key=lambda pid: cpu_ns([pid]) - rest.used_ns[pid])
    return {
        "memory MiB idle": sum(rest.mib.values()),
        "memory MiB idle, largest process": max(rest.mib.values()),
        "memory MiB idle, serving process": rest.mib[serving],
        "memory MiB peak": memory_mib(started.target.pids(), "VmHWM"),
        "start s": started.start_s,
        "start CPU s": started.start_cpu_s,
    }


def _load(target: Target, load: Load, record: Record) -> None:
    if (status := ask(target.port, path=load.path, body=load.body)) == OK:
        record.take(load, measure(target, load))
    else:
        record.notes.append(f"{load.name}: left out, the first request was answered {status}")


def _crowd(bench: Bench, name: str, load: Load, record: Record) -> None:
    """A load of many connections on a peer that has not yet grown."""
    with _started(bench, name, bench.cores.gateway) as started:
        target = started.target
        measure(target, bench.plan.warm_up)
        pids = target.pids()
        before = memory_mib(pids)
        reset_peak(pids)
        record.take(load, measure(target, load))
        record.figures |= of_crowd(load, memory_mib(pids, "VmHWM") - before if pids else None)


def _scaled(bench: Bench, name: str, workers: int, load: Load, record: Record) -> None:
    """A load on a peer with several workers, on several cores."""
    with _started(bench, name, bench.cores.several, workers) as started:
        measure(started.target, bench.plan.warm_up)
        record.take(load, measure(started.target, load))


def _departures(target: Target, figures: Figures, notes: list[str]) -> None:
    for word, stream in (("SSE", True), ("JSON", False)):
        try:
            noticed = departure_ms(target, stream=stream)
        except OSError as error:
            noticed = None
            notes.append(f"a client that wanted to leave ({word}): {error}")
        figures[f"close seen upstream ms, {word}"] = noticed
        if noticed is None:
            notes.append(f"a client that left was not noticed upstream ({word})")


def version(peer: Peer) -> str:
    """What a peer says its version is."""
    if not peer.version:
        return ""
    done = finished(peer.version)
    return (done.stdout or done.stderr).strip()
