"""What did one window of load cost? Load for some seconds, and the gateway's CPU, instructions and answers in them."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.accounting import cpu_ns, tree, worked_ns
from bench.cores import Cores, pinned
from bench.instruments.build import Instruments
from bench.instruments.mock import Mock
from bench.peers import KEY, MODEL
from bench.perf import counting, instructions
from bench.processes import finished, poll, running

SETTLE_SECS = 20.0
"""LiteLLM takes half of it for 256 requests whose clients have left."""
SETTLE_PAUSE_SECS = 0.2
IDLE_SHARE = 0.08
"""Of a core, that counts as idle."""
STALL_SECS = 60
"""After this time sseload counts an answer as failed."""
PATIENCE_SECS = 120.0
"""How much longer than its window sseload may take."""
CHAT_PATH = "/v1/chat/completions"
EVENTS = 64
"""Of a stream; one that has another number is an error."""


@dataclass(frozen=True)
class Load:
    """A window of load.

    Args:
        name: what its figures begin with.
        topic: what it belongs to, for who wants to measure that alone.
        connections: each sends its next request when its answer is complete.
        seconds: of the window.
        warm_up: seconds before it; their CPU and answers are in the cost per request, not in the rates.
        stream: whether the answers are streams.
        delay_ms: between two events; 0: as fast as the mock can.
        ramp_ms: over which the connections begin.
        path: where the requests go.
        body: of each request; empty: a short question.
        alike: whether all requests are; otherwise each has a number of its own in its body, in the place of 00000000.
            A gateway that keeps answers gives most of those alike without its upstream: each answer that a client got
            counts, and there is no warm-up.
    """

    name: str
    topic: str
    connections: int
    seconds: float
    warm_up: float = 0.5
    stream: bool = False
    delay_ms: float = 0
    ramp_ms: float = 0
    path: str = CHAT_PATH
    body: bytes = b""
    alike: bool | None = None

    @property
    def due_per_s(self) -> float | None:
        """Events a second when a stream begins anew as soon as it has ended; None: as many as can be."""
        return self.connections * EVENTS / ((EVENTS - 1) * self.delay_ms) * 1000 if self.delay_ms else None

    def arguments(self, folder: Path) -> list[str]:
        """What sseload is told; the body lies in `folder`."""
        numbers = {"-c": self.connections, "-d": self.seconds, "-w": self.warm_up, "-r": self.ramp_ms, "-t": STALL_SECS}
        words = [*(str(word) for pair in numbers.items() for word in pair), "-P", self.path]
        if self.body:
            file = folder / "body.json"
            file.write_bytes(self.body)
            words += ["-b", str(file), *(["-u"] if self.alike is False else [])]
        return [*words, *(["-s", "-e", str(EVENTS)] if self.stream else [])]


@dataclass(frozen=True)
class Window:
    """What was seen in one window.

    Args:
        load: sseload's report.
        cpu_ns: of the gateway, warm-up included; None where there is no gateway.
        instructions: the same, where they were counted.
        answers: that the mock gave meanwhile.
        events: that the mock sent meanwhile.
        calib_ms: of the gateway's core, before and after: how fast it was.
    """

    load: Mapping[str, Any]
    cpu_ns: int | None
    instructions: int | None
    answers: int
    events: int
    calib_ms: tuple[float, float]


@dataclass(frozen=True)
class Target:
    """What load is put on.

    Args:
        port: where it listens.
        pid: its first process; None where there is no gateway.
    """

    port: int
    pid: int | None
    mock: Mock
    instruments: Instruments
    cores: Cores
    folder: Path

    def pids(self) -> list[int]:
        """The gateway's processes."""
        return tree(self.pid) if self.pid else []


def measure(target: Target, load: Load, *, counted: bool = False) -> Window:
    """Put load on a target that has come to rest.

    Args:
        target: the gateway, or the mock itself.
        load: what is put on it.
        counted: whether its instructions are counted. That makes its switches of context dearer: the window's times
            are not to be used.
    """
    target.mock.set(events=EVENTS, delay_ms=load.delay_ms)
    settle(target)
    report = target.folder / "instructions.txt"
    pids = target.pids()
    prefix = counting(pids, report) if counted and pids else []
    calib_before = calibrate(target)
    before, cpu_before = target.mock.stats(), cpu_ns(pids)
    seen = _put_on(target, load, prefix)
    cpu_used, after = cpu_ns(pids) - cpu_before, target.mock.stats()
    return Window(
        load=seen,
        cpu_ns=cpu_used if pids else None,
        instructions=instructions(report.read_text()) if prefix else None,
        answers=after["done"] - before["done"],
        events=after["events"] - before["events"],
        calib_ms=(calib_before, calibrate(target)),
    )


def as_row(window: Window) -> dict[str, Any]:
    """The window as it is kept in the results."""
    return asdict(window)


def settle(target: Target) -> None:
    """Wait until the target and its core are idle; for a while at the most.

    A backlog is not billed to the next window, and what another peer still does for clients that have left takes no
    time from this one.
    """
    cores = target.cores.gateway
    for _ in poll(SETTLE_SECS, pause=0):
        began, before, worked = time.monotonic_ns(), cpu_ns(target.pids()), worked_ns(cores)
        time.sleep(SETTLE_PAUSE_SECS)
        busiest = max(cpu_ns(target.pids()) - before, worked_ns(cores) - worked)
        if busiest < IDLE_SHARE * (time.monotonic_ns() - began) and target.mock.idle():
            return


def calibrate(target: Target) -> float:
    """Milliseconds that the gateway's core takes for a fixed amount of work."""
    with pinned(target.cores.gateway):
        return float(finished([target.instruments.calib]).stdout)


def _put_on(target: Target, load: Load, prefix: list[str]) -> dict[str, Any]:
    command = [*prefix, str(target.instruments.sseload), "-j", "-p", str(target.port), "-k", KEY, "-m", MODEL]
    output = target.folder / "sseload.json"
    output.unlink(missing_ok=True)
    argv = [*command, *load.arguments(target.folder)]
    with running(argv, cores=target.cores.load, folder=target.folder, log=output, environment={}) as sseload:
        sseload.wait(load.warm_up + load.seconds + PATIENCE_SECS)
    report: dict[str, Any] = orjson.loads(output.read_bytes())
    return report
