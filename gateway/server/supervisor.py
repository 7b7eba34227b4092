"""Who keeps the workers alive? One process that binds, starts them, replaces the dead and ends the living."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass

from gateway.core.worker import new_request_ids
from gateway.server.channel import FAILED, FAREWELL_SECS, READY, Assignment, send_assignment
from gateway.server.listening import listen
from gateway.server.metrics import MetricsExporter
from gateway.server.process import WorkerProcess
from gateway.server.settings import ServerSettings

logger = logging.getLogger(__name__)

STEADY_SECS = 10.0
"""A worker that lived this long is replaced at once when it dies; one that did not may be crashing in a loop."""
BACKOFF_SECS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""The wait before the next try, by the number of quick deaths in a row."""
NOT_STARTED_SECS = 2.0
"""What a worker that cannot even be started lacks is given back by others, at a time that nobody tells."""
AS_TOLD = frozenset({0, -signal.SIGTERM})
"""Exit codes of a worker that was told to end: by itself, or before it had learned what SIGTERM means."""
KILL_MARGIN_SECS = 5.0
"""How long a worker may outlive the end of its own farewells before it is killed."""


@dataclass(frozen=True, slots=True)
class Life:
    """One worker process from its start to its end.

    Attributes:
        index: the worker's number.
        pid: the process's.
        request_ids: what the ids of its requests begin with.
        code: its exit status; negative: the signal that killed it.
        failure: why it could not start, if it said so.
    """

    index: int
    pid: int
    request_ids: str
    code: int | None
    failure: str | None

    def as_fields(self) -> dict[str, str | int]:
        """What a log line says of it: a request that left no line of its own is found by what its id begins with."""
        how = self.failure or how_it_ended(self.code)
        return {"worker": self.index, "pid": self.pid, "how": how, "request_ids": self.request_ids}


class WorkerFailedError(Exception):
    """A worker could not start; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the gateway can be reached; ports as bound, also where 0 was asked for. `metrics` is 0 when off."""

    host: str
    port: int
    metrics: int


class Supervisor:
    """Runs `gateway_workers` worker processes on one listening socket until SIGTERM or SIGINT.

    The workers are fresh interpreters, each with a channel: a worker tells there that it is ready or why it cannot
    be, and sees there that its supervisor has died, which ends it.

    Args:
        settings: for the supervisor and all workers.
        factory: `module:callable`, called as `factory(settings, identity)` for the ASGI application.
        first: a worker process for that factory which was born before the settings were known.
        on_ready: called once, when every worker serves.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        factory: str,
        first: WorkerProcess | None = None,
        on_ready: Callable[[Endpoints], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._factory = factory
        self._born = [] if first is None else [first]
        self._on_ready = on_ready
        self._stop = asyncio.Event()
        self._processes: dict[int, WorkerProcess] = {}
        self._waiting_for = set(range(settings.gateway_workers))
        self._all_ready = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to stop, then let requests finish.

        Raises:
            CannotListenError: the address or the metrics' address is taken.
            WorkerFailedError: a worker did not come up at the start; none is left running.
        """
        settings = self._settings
        with listen(settings.gateway_host, settings.gateway_port) as listener:
            port = listener.getsockname()[1]
            exporter = MetricsExporter()
            try:
                metrics = exporter.serve(settings.metrics_host, settings.metrics_port) if settings.metrics_port else 0
                with self._signals():
                    await self._supervise(listener, exporter, Endpoints(settings.gateway_host, port, metrics))
            finally:
                exporter.close()

    def stop(self) -> None:
        """Begin the end; the second call does not wait for the requests."""
        if self._stop.is_set():
            logger.warning("drain_abandoned", extra={"workers": len(self._processes)})
            for process in self._processes.values():
                process.kill()
            return
        logger.info("drain_began", extra={"workers": len(self._processes), "drain_secs": self._settings.drain_secs})
        self._stop.set()

    @contextlib.contextmanager
    def _signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def _supervise(self, listener: socket.socket, exporter: MetricsExporter, endpoints: Endpoints) -> None:
        workers = range(self._settings.gateway_workers)
        keepers = [asyncio.create_task(self._keep(index, listener, exporter)) for index in workers]
        stopped = asyncio.create_task(self._stop.wait())
        ready = asyncio.create_task(self._all_ready.wait())
        try:
            await asyncio.wait((*keepers, stopped, ready), return_when=asyncio.FIRST_COMPLETED)
            if self._all_ready.is_set():
                self._on_ready(endpoints)
                await asyncio.wait((*keepers, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            self._stop.set()
            # Closing our copy would leave the port open for as long as a busy worker holds its own.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            await self._end(keepers)
        for error in [keeper.exception() for keeper in keepers]:
            if error is not None:
                raise error
        logger.info("stopped")

    async def _end(self, keepers: list[asyncio.Task[None]]) -> None:
        for process in self._processes.values():
            process.terminate()
        patience = self._settings.drain_secs + 2 * FAREWELL_SECS + KILL_MARGIN_SECS
        _, late = await asyncio.wait(keepers, timeout=patience)
        if late:
            for index, process in self._processes.items():
                logger.error("worker_overdue", extra={"worker": index, "pid": process.pid, "killed_after": patience})
                process.kill()
            await asyncio.wait(keepers)

    async def _keep(self, index: int, listener: socket.socket, exporter: MetricsExporter) -> None:
        """Run worker `index`, and another in its place whenever it ends.

        Raises:
            WorkerFailedError: it did not come up the first time.
        """
        loop = asyncio.get_running_loop()
        quick_deaths = 0
        while not self._stop.is_set():
            born = loop.time()
            try:
                life = await self._live(index, listener, exporter)
            except OSError as error:  # no descriptor, process or memory for it: the others go on meanwhile
                if index in self._waiting_for:
                    raise WorkerFailedError(f"worker {index} cannot be started: {error}") from error
                logger.error("worker_not_started", extra={"worker": index, "why": str(error)})  # noqa: TRY400 -- the line is enough
                await self._pause(NOT_STARTED_SECS)
                continue
            if self._stop.is_set():
                if self._all_ready.is_set() and life.code not in AS_TOLD:
                    logger.error("worker_died", extra=life.as_fields())
                return
            if index in self._waiting_for:
                raise WorkerFailedError(life.failure or f"worker {index} (pid {life.pid}) {how_it_ended(life.code)}")
            quick_deaths = quick_deaths + 1 if loop.time() - born < STEADY_SECS else 0
            delay = BACKOFF_SECS[min(max(quick_deaths - 1, 0), len(BACKOFF_SECS) - 1)]
            logger.error("worker_died", extra={**life.as_fields(), "next_in_secs": delay})
            await self._pause(delay)

    async def _pause(self, secs: float) -> None:
        """Wait, or until told to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), secs)

    async def _live(self, index: int, listener: socket.socket, exporter: MetricsExporter) -> Life:
        """Start a worker, and be there until it has ended."""
        request_ids = new_request_ids()
        with exporter.page() as page, self._born.pop() if self._born else WorkerProcess(self._factory) as process:
            self._processes[index] = process
            if self._stop.is_set():
                process.terminate()
            try:
                workers = self._settings.gateway_workers
                assignment = Assignment(self._factory, self._settings, index, workers, request_ids)
                with contextlib.suppress(ConnectionError):
                    send_assignment(process.channel, assignment, listener, page)
                failure = await self._hear(process, assignment)
                code = await process.wait()
            finally:
                del self._processes[index]
        return Life(index, process.pid, request_ids, code, failure)

    async def _hear(self, process: WorkerProcess, assignment: Assignment) -> str | None:
        """Wait for the worker's word; why it cannot start, if that is what it says."""
        process.channel.settimeout(0)
        words = b""
        while not words.endswith(b"\n"):
            try:
                part = await asyncio.get_running_loop().sock_recv(process.channel, 4096)
            except ConnectionError:  # it was ended before it had read its assignment
                return None
            if not part:
                return None
            words += part
        if words != READY:
            return words.removeprefix(FAILED).decode().strip()
        logger.info(
            "worker_serving",
            extra={"worker": assignment.index, "pid": process.pid, "request_ids": assignment.request_ids},
        )
        self._waiting_for.discard(assignment.index)
        if not self._waiting_for:
            self._all_ready.set()
        return None


def how_it_ended(code: int | None) -> str:
    """Exit status in words; negative is the signal that killed it."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"
