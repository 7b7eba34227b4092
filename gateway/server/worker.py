"""What does one worker process do? It runs the application on the inherited socket until it is told to stop."""

import asyncio
import contextlib
import functools
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvloop

from gateway.core.asgi import ASGIApp
from gateway.core.worker import WorkerIdentity
from gateway.server.accepting import Acceptor
from gateway.server.channel import (
    FAREWELL_SECS,
    RETIRE,
    Assignment,
    farewell_secs,
    receive_assignment,
    report_failure,
    report_ready,
)
from gateway.server.connection import ConnectionLimits
from gateway.server.lifespan import Lifespan, StartError
from gateway.server.orphan import end_if_orphaned
from gateway.server.protocol import HttpProtocol
from gateway.server.pulse import Heart
from gateway.server.serving import Serving
from gateway.server.signals import leave_to_supervisor
from gateway.server.slow_readers import SlowReaders
from gateway.server.usual import UsualRequests

if TYPE_CHECKING:
    from gateway.server.settings import ServerSettings

logger = logging.getLogger("gateway.server.worker")  # by name: this module runs as `__main__`

POLL_SECS = 0.02
"""How often a draining worker looks whether its last request has ended."""
RETIRED_POLL_SECS = 0.2
"""How often a retiring one does, for an hour and more."""

DATE_SECS = 1.0
"""How long an answer may bear an older date than its own."""

GC_ALLOCATIONS = 20_000
"""Containers made and not freed before the collector looks; a few dozen requests in flight hold that many."""

MakeProtocol = Callable[..., asyncio.Protocol]
AppFactory = Callable[["ServerSettings", WorkerIdentity], ASGIApp]


class WorkerServer:
    """Serves one application's requests, with an end that refuses at once and lets requests finish.

    Args:
        lifespan: the application's.
        make: makes a new connection's protocol, from `server_state` and `app_state`.
        worker: who we are.
        drain_secs: how long requests may take to finish.

    Attributes:
        serving: the connections and requests.
        on_started: called when connections are taken.
    """

    def __init__(self, lifespan: Lifespan, make: MakeProtocol, worker: WorkerIdentity, drain_secs: float) -> None:
        self.serving = Serving()
        self.on_started: Callable[[], None] = lambda: None
        self._lifespan = lifespan
        lifespan.on_failure = self._stop_without_application
        self._make = make
        self._worker = worker
        self._drain_secs = drain_secs
        self._over = asyncio.Event()
        self._listener: socket.socket | None = None
        self._acceptors: list[Acceptor] = []
        self._retirement: asyncio.Task[None] | None = None
        self._second: asyncio.TimerHandle | None = None

    @property
    def should_exit(self) -> bool:
        """Whether it is to end, or has."""
        return self._over.is_set()

    async def serve(self, listener: socket.socket) -> None:
        """Serve until told to end; a start that hangs ends with that, as there is nobody to be waited for.

        Raises:
            StartError: the application cannot start.
        """
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        starting = asyncio.create_task(self.startup(listener))
        over = asyncio.create_task(self._over.wait())
        await asyncio.wait((starting, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return
        starting.result()
        await self._over.wait()
        await self.shutdown()

    async def startup(self, listener: socket.socket) -> None:
        """Start, and say so."""
        await self._lifespan.begin()
        self._tell_date()
        settle_memory()
        self._listener = listener
        if not self.should_exit and self._retirement is None:
            self._acceptors = [Acceptor(listener, self._make_protocol)]
        self.on_started()

    def stop(self) -> None:
        """Refuse new connections from this moment on; requests that run go on."""
        if self.should_exit:
            return
        self._over.set()
        self._worker.drain.begin()
        logger.info("worker_drain_began", extra=self._situation())
        for acceptor in self._acceptors:
            acceptor.close()
        for connection in list(self.serving.connections):
            connection.shutdown()  # at once: what is answered from here on says `connection: close`

    def stop_as_orphan(self) -> None:
        """Stop, as the supervisor has died."""
        logger.error("supervisor_died", extra=self._situation())
        self.stop()

    def _stop_without_application(self, error: Exception) -> None:
        """Stop, as what requests need is closed: others take them, and another worker our place."""
        logger.error("application_failed", exc_info=error, extra=self._situation())
        self.stop()

    def retire(self) -> None:
        """Take no connections from this moment on, and end when those that there are have ended.

        Unlike a drain: no connection is closed that a proxy was promised, `/ready` goes on speaking of the fleet, as
        other workers serve, and no request is told to hurry.
        """
        if self._retirement is None and not self.should_exit:
            for acceptor in self._acceptors:
                acceptor.close()
            self._retirement = asyncio.get_running_loop().create_task(self._retire())

    async def _retire(self) -> None:
        for acceptor in self._acceptors:
            await acceptor.settled()
        self._acceptors.clear()
        if self._listener is not None:
            self._listener.close()  # or the port would stay open for as long as we do, whatever becomes of the others
        for connection in list(self.serving.connections):
            connection.retire()
        while not self._idle():  # noqa: ASYNC110 -- sets tell nobody
            await asyncio.sleep(RETIRED_POLL_SECS)  # noqa: TID251 -- as in `_idle_within`
        self._over.set()

    async def shutdown(self) -> None:
        """Wait for the running requests, then for their farewells, then for nobody."""
        self.stop()
        if self._listener is not None:
            self._listener.close()
        for acceptor in self._acceptors:
            await acceptor.settled()
        for connection in list(self.serving.connections):
            connection.shutdown()
        if not await self._idle_within(self._drain_secs):
            logger.warning("requests_cut", extra={**self._situation(), "drain_secs": self._drain_secs})
            self._worker.drain.end()
            if not await self._idle_within(FAREWELL_SECS):
                for task in self.serving.tasks:
                    task.cancel()
                await self._idle_within(FAREWELL_SECS)
        await self._lifespan.end()
        if self._second is not None:
            self._second.cancel()

    def _make_protocol(self) -> asyncio.Protocol:
        """A new connection's."""
        return self._make(server_state=self.serving, app_state=self._lifespan.state)

    def _tell_date(self) -> None:
        self.serving.tell_date()
        self._second = asyncio.get_running_loop().call_later(DATE_SECS, self._tell_date)

    def _situation(self) -> dict[str, int]:
        """Who we are and how many requests run here, as a log line's fields."""
        running = sum(not task.done() for task in self.serving.tasks)
        return {"worker": self._worker.index, "pid": os.getpid(), "requests": running}

    async def _idle_within(self, seconds: float) -> bool:
        """Whether the last request and the last connection ended within that time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self._idle():
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(POLL_SECS)  # noqa: TID251 -- once in a process's life, and real sockets keep real time
        return True

    def _idle(self) -> bool:
        """Whether there is no connection and no request."""
        return not self.serving.connections and all(task.done() for task in self.serving.tasks)


def settle_memory() -> None:
    """Take what the start has built out of the garbage collector's sight.

    The modules are 200,000 objects that never become garbage: looking through them now and then cost 6 % of a
    request's CPU and the loop some 30 ms at a time. Younger garbage is still collected, less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 10, 10)


def load_factory(name: str) -> AppFactory:
    """The callable that `module:callable` names.

    Raises:
        StartError: there is no such module or callable.
    """
    module_name, _, attribute = name.partition(":")
    try:
        factory: AppFactory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise StartError(f"cannot load {name}: {error}") from error
    return factory


def listen_to(channel: socket.socket, server: WorkerServer) -> None:
    """Retire when the supervisor says so, and end when it has gone."""
    loop = asyncio.get_running_loop()

    def hear() -> None:
        word = b""
        with contextlib.suppress(ConnectionError):  # it has gone without having read all that we told it
            word = channel.recv(len(RETIRE))
        if word:
            server.retire()
        else:
            loop.remove_reader(channel)  # the end of a stream stays readable: without this the loop would spin
            server.stop_as_orphan()

    loop.add_reader(channel, hear)


async def serve(assignment: Assignment, listener: socket.socket, channel: socket.socket) -> None:
    """Run the assigned application on `listener` until SIGTERM, a retirement's end, or the supervisor's death.

    Raises:
        StartError: the application refused to start.
    """
    heart = Heart(assignment.pulse)
    settings: ServerSettings = assignment.settings
    end_if_orphaned(channel, farewell_secs(settings.drain_secs))
    identity = WorkerIdentity(
        assignment.index,
        assignment.workers,
        page=assignment.page,
        request_ids=assignment.request_ids,
        board=assignment.board,
        row=assignment.row,
        control=assignment.control,
    )
    app = load_factory(assignment.factory)(settings, identity)
    limits = ConnectionLimits(
        header_timeout=settings.client_header_timeout_secs,
        keepalive=settings.client_keepalive_secs,
        max_header_bytes=settings.client_max_header_bytes,
        readers=SlowReaders(settings.client_write_timeout_secs),
        heads=UsualRequests(settings.client_max_header_bytes),
    )
    make = functools.partial(HttpProtocol, app=app, limits=limits, refused=identity.refusals.tell)
    server = WorkerServer(Lifespan(app), make, identity, settings.drain_secs)
    heart.on_beat = lambda late: identity.beats.tell(late, len(server.serving.connections))
    listen_to(channel, server)
    server.on_started = functools.partial(report_ready, channel)
    await server.serve(listener)


def main(arguments: list[str]) -> int:
    """Be a worker: the arguments are the inherited descriptor of the channel, and the application to load meanwhile."""
    leave_to_supervisor()
    channel = socket.socket(fileno=int(arguments[0]))
    try:
        load_factory(arguments[1])
        assignment, listener = receive_assignment(channel)
        uvloop.run(serve(assignment, listener, channel))
    except EOFError:  # nobody is there to be told
        return 1
    except (StartError, ValueError) as error:  # an application says by ValueError that its settings will not do
        report_failure(channel, str(error))
        return 1
    except Exception as error:
        logger.exception("worker_failed")
        report_failure(channel, f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
