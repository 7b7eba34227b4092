"""What is one repetition of one peer? Start it, put every load on it, leave it in mid-answer, end it."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.accounting import cpu_ns, memory_mib, reset_peak, tree
from bench.cores import Cores
from bench.figures import Figures, Plan, failures, of_counted, of_window
from bench.instruments.build import Instruments
from bench.instruments.mock import Mock
from bench.peers import Peer
from bench.perf import can_count
from bench.processes import finished, poll, running
from bench.visits import ask, departure_ms
from bench.windows import Target, as_row, measure

START_SECS = 90.0
REST_SECS = 1.0
"""Between the first answer and the look at the memory: what a start has left to do."""
LOG_TAIL = 2000
OK, UNAUTHORIZED = 200, 401


class StartError(Exception):
    """A peer did not start; the message is the end of its log."""


@dataclass(frozen=True)
class Bench:
    """What all repetitions share."""

    folder: Path
    instruments: Instruments
    mock: Mock
    cores: Cores
    plan: Plan
    counts_instructions: bool

    @classmethod
    def of(cls, folder: Path, instruments: Instruments, mock: Mock, cores: Cores, plan: Plan) -> "Bench":
        """A bench that counts instructions where that works."""
        return cls(folder, instruments, mock, cores, plan, can_count())


@dataclass(frozen=True)
class Started:
    """A running peer and what its start took; None where it runs already."""

    target: Target
    start_s: float | None
    start_cpu_s: float | None


def repeat(bench: Bench, name: str, peer: Peer, number: int) -> dict[str, Any]:
    """One repetition: a line of the results.

    Raises:
        StartError: the peer did not start.
    """
    notes: list[str] = []
    figures: Figures = {}
    windows: dict[str, Any] = {}
    with ExitStack() as stack:
        started = _start(bench, name, peer, stack)
        target = started.target
        if peer.argv:
            time.sleep(REST_SECS)
            if (status := ask(peer.port, "wrong")) != UNAUTHORIZED:
                notes.append(f"a wrong key is answered {status}")
        idle_mib = memory_mib(target.pids())
        reset_peak(target.pids())
        _loads(bench, target, figures, windows)
        _departures(target, figures, notes)
        if ask(peer.port) != OK:
            notes.append("no answer after the loads")
        if peer.argv:
            figures["memory MiB idle"] = idle_mib
            figures["memory MiB peak"] = memory_mib(target.pids(), "VmHWM")
            figures["start s"] = started.start_s
            figures["start CPU s"] = started.start_cpu_s
    return {"peer": name, "repetition": number, "figures": figures, "notes": notes, "windows": windows}


def _start(bench: Bench, name: str, peer: Peer, stack: ExitStack) -> Started:
    target = Target(peer.port, None, bench.mock, bench.instruments, bench.cores, bench.folder)
    if not peer.argv:
        return Started(target, None, None)
    log = bench.folder / f"{name}.log"
    began = time.monotonic()
    child = stack.enter_context(
        running(
            peer.argv,
            cores=bench.cores.gateway,
            folder=bench.folder,
            log=log,
            environment=peer.environment,
        )
    )
    for _ in poll(START_SECS):
        if ask(peer.port) == OK:
            took = time.monotonic() - began
            return Started(replace(target, pid=child.pid), took, cpu_ns(tree(child.pid)) / 1e9)
        if child.poll() is not None:
            break
    raise StartError(f"{name} did not start:\n{log.read_text(errors='replace')[-LOG_TAIL:]}")


def _loads(bench: Bench, target: Target, figures: Figures, windows: dict[str, Any]) -> None:
    measure(target, bench.plan.warm_up)
    failed = 0
    calib: list[float] = []
    for load in bench.plan.timed:
        window = measure(target, load)
        figures |= of_window(load, window)
        failed += failures(window)
        calib += window.calib_ms
        windows[load.name] = as_row(window)
    for load in bench.plan.counted:
        counts = bench.counts_instructions and target.pid
        figures |= of_counted(load, measure(target, load, counted=True) if counts else None)
    figures["failed answers"] = failed
    figures["core: ms for fixed work"] = fmean(calib)


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
