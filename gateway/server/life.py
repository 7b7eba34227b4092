"""What is one worker to its supervisor? Its process, what it was told, and what has become of it."""

import asyncio
import contextlib
import signal
import socket
from enum import StrEnum

from gateway.core.worker import new_request_ids
from gateway.observability.families.processes import WORKERS
from gateway.observability.metrics import Metrics
from gateway.server.channel import FAILED, READY, RETIRE
from gateway.server.process import WorkerProcess
from gateway.server.pulse import ASK, Pulse

MAX_WORDS = 65536
"""A worker that says more is not one of ours."""


class State(StrEnum):
    """What a worker does for clients."""

    STARTING = "starting"
    SERVING = "serving"
    RETIRING = "retiring"


class Ending(StrEnum):
    """How a worker ended that was not told to."""

    EXITED = "exited"
    KILLED = "killed"


class Worker:
    """One worker process from its assignment to its end.

    Attributes:
        index: the worker's number.
        pid: the process's.
        request_ids: what the ids of its requests begin with.
        state: see `State`.
        pulse: of its event loop.
        blocked_since: when its loop last turned, if it stands still and that was reported.
        failure: why it could not start, if it said so.
        code: its exit status once it has ended; negative: the signal that killed it.
    """

    def __init__(self, process: WorkerProcess, index: int, pulse: Pulse, figures: Metrics) -> None:
        self.index = index
        self.pid = process.pid
        self.request_ids = new_request_ids()
        self.state = State.STARTING
        self.pulse = pulse
        self.blocked_since: float | None = None
        self.failure: str | None = None
        self.code: int | None = None
        self.terminate = process.terminate
        self.kill = process.kill
        self._process = process
        self._figures = figures

    def as_fields(self) -> dict[str, str | int]:
        """What a log line says of it: a request that left no line of its own is found by what its id begins with."""
        return {"worker": self.index, "pid": self.pid, "request_ids": self.request_ids}

    def retire(self) -> None:
        """Have it take no more connections, and end when those that it has have ended."""
        self._become(State.RETIRING)
        with contextlib.suppress(OSError):  # it has ended meanwhile
            self._process.channel.send(RETIRE)

    def ask_stack(self) -> None:
        """Have its stack written into `pulse`; only where that has begun."""
        self.pulse.clear_stack()
        self._process.signal(ASK)

    async def serves(self) -> bool:
        """Wait for its word; False: it cannot start, and `failure` may say why."""
        words = await first_words(self._process.channel)
        if not words:
            return False
        if words != READY:
            self.failure = words.removeprefix(FAILED).decode(errors="replace").strip()
            return False
        if self.state is State.STARTING:
            self._become(State.SERVING)
        return True

    async def ended(self) -> None:
        """Wait for its end."""
        self.code = await self._process.wait()

    def leave(self) -> None:
        """It is no longer counted."""
        self._figures.figure(WORKERS, self.state).add(-1)

    def join(self) -> None:
        """It is counted from now on."""
        self._figures.figure(WORKERS, self.state).add()

    @property
    def ending(self) -> Ending:
        """By itself, or by a signal."""
        return Ending.KILLED if self.code is not None and self.code < 0 else Ending.EXITED

    def how_it_ended(self) -> str:
        """In words, its own where it had some."""
        if self.failure is not None:
            return self.failure
        if self.code is not None and self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with status {self.code}"

    def _become(self, state: State) -> None:
        self.leave()
        self.state = state
        self.join()


async def first_words(channel: socket.socket) -> bytes:
    """The line that a child says first; empty when it has ended without a whole one."""
    channel.settimeout(0)
    words = b""
    while not words.endswith(b"\n") and len(words) < MAX_WORDS:
        try:
            part = await asyncio.get_running_loop().sock_recv(channel, 4096)
        except ConnectionError:  # it was ended before it had read its assignment
            return b""
        if not part:
            return b""
        words += part
    return words
