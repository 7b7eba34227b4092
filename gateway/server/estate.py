"""What passes from one generation of workers to the next? The socket, the figures, and the list of who lives."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from gateway.core.carried import carried
from gateway.observability.metrics import Metrics
from gateway.server.blueprint import Blueprint, Companion
from gateway.server.channel import Assignment, send_assignment
from gateway.server.life import Worker
from gateway.server.metrics import MetricsExporter
from gateway.server.process import WorkerProcess
from gateway.server.pulse import Pulse


@dataclass(slots=True)
class Estate:
    """What outlives each generation of workers.

    Attributes:
        factory: `module:callable`, called as `factory(settings, identity)` for the ASGI application.
        listener: the one listening socket.
        exporter: of all figures, the supervisor's own among them.
        figures: the supervisor's own.
        born: worker processes that have no assignment yet.
        workers: those that have one and have not ended.
        stopping: set when all is to end.
        control_socket: path at which control processes answer, each over its predecessor.
        relieve: ends the control processes of all generations until now, when that of a later one serves.
    """

    factory: str
    listener: socket.socket
    exporter: MetricsExporter
    figures: Metrics
    born: list[WorkerProcess]
    workers: set[Worker]
    stopping: asyncio.Event
    control_socket: str = ""
    relieve: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def worker(self, index: int, blueprint: Blueprint, companion: Companion) -> Iterator[Worker]:
        """A worker with its assignment; leaving the scope leaves no process, and nothing that was its own.

        Raises:
            OSError: there is no process, memory or descriptor for it.
        """
        settings = blueprint.settings
        with ExitStack() as scope:
            page = scope.enter_context(self.exporter.page())
            row = scope.enter_context(companion.row())
            pulse = scope.enter_context(Pulse())
            process = scope.enter_context(self.born.pop() if self.born else WorkerProcess(self.factory))
            worker = Worker(process, index, pulse, self.figures)
            scope.callback(worker.leave)
            worker.join()
            scope.callback(self.workers.discard, worker)
            self.workers.add(worker)
            if self.stopping.is_set():
                worker.terminate()
            assignment = Assignment(
                factory=self.factory,
                settings=carried(settings),
                index=index,
                workers=settings.gateway_workers,
                request_ids=worker.request_ids,
                row=row,
                page=page,
                pulse=pulse.descriptor,
                board=companion.descriptor,
                control=self.control_socket if blueprint.control else "",
            )
            with contextlib.suppress(ConnectionError):
                send_assignment(process.channel, assignment, self.listener)
            yield worker
