"""What is one repetition of one peer? Start it, put every load on it, leave it in mid-answer, end it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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


def repeat(bench: Bench, name: str, number: int) -> dict[str, Any]:
    """One repetition of a peer: a line of the results.

    Raises:
        StartError: the peer did not start.
    """
    record = Record()
    _on_one_core(bench, name, record)
    for load in bench.plan.crowds:
        _crowd(bench, name, load, record)
    for workers, load in bench.plan.scaled.items() if name in SCALING else ():
        with _started(bench, name, bench.cores.several, workers) as started:
            measure(started.target, bench.plan.warm_up)
            record.take(load, measure(started.target, load))
    record.figures |= added(record.figures)
    record.figures["failed answers"] = record.failed
    record.figures["core: ms for fixed work"] = fmean(record.calib_ms) if record.calib_ms else None
    shown = {"figures": record.figures, "notes": record.notes, "windows": record.windows}
    return {"peer": name, "repetition": number, **shown}


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


def _on_one_core(bench: Bench, name: str, record: Record) -> None:
    """All that one start of a peer can show."""
    with _started(bench, name, bench.cores.gateway) as started:
        target = started.target
        if target.pid:
            time.sleep(REST_SECS)
            if (status := ask(target.port, "wrong")) != UNAUTHORIZED:
                record.notes.append(f"a wrong key is answered {status}")
        idle_mib = {pid: memory_mib([pid]) for pid in target.pids()}
        used_ns = {pid: cpu_ns([pid]) for pid in idle_mib}
        reset_peak(target.pids())
        _loads(bench, target, record)
        if bench.plan.departures:
            _departures(target, record.figures, record.notes)
        if ask(target.port) != OK:
            record.notes.append("no answer after the loads")
        if target.pid:
            serving = max(idle_mib, key=lambda pid: cpu_ns([pid]) - used_ns[pid])
            record.figures["memory MiB idle"] = sum(idle_mib.values())
            record.figures["memory MiB idle, largest process"] = max(idle_mib.values())
            record.figures["memory MiB idle, serving process"] = idle_mib[serving]
            record.figures["memory MiB peak"] = memory_mib(target.pids(), "VmHWM")
            record.figures["start s"] = started.start_s
            record.figures["start CPU s"] = started.start_cpu_s


def _loads(bench: Bench, target: Target, record: Record) -> None:
    measure(target, bench.plan.warm_up)
    for load in bench.plan.timed:
        if (status := ask(target.port, path=load.path, body=load.body)) == OK:
            record.take(load, measure(target, load))
        else:
            record.notes.append(f"{load.name}: left out, the first request was answered {status}")
    for load in bench.plan.counted:
        counts = bench.counts_instructions and target.pid
        record.figures |= of_counted(load, measure(target, load, counted=True) if counts else None)


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
