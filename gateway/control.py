"""What does the control process do? It publishes keys, keeps the books, answers operators; workers go on without it."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uvloop

from gateway.admin.live import Live
from gateway.bookkeeping.books import Bookkeeper
from gateway.bookkeeping.duty import Duty
from gateway.bookkeeping.neighbours import Neighbours
from gateway.bookkeeping.publishing import Publishing
from gateway.bookkeeping.spool import Spool
from gateway.catalog.errors import CatalogUnavailableError
from gateway.catalog.head import FOLDER as CATALOG_FOLDER
from gateway.catalog.publisher import Publisher
from gateway.catalog.reader import Catalog
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.clock import Clock, SystemClock
from gateway.core.later import Later
from gateway.database.database import Database
from gateway.database.errors import DatabaseUnavailableError
from gateway.database.transactions import OPERATIONS
from gateway.fleet.drains import DrainedHere
from gateway.fleet.edition import read_edition
from gateway.fleet.merge import merge
from gateway.fleet.register import Register
from gateway.limits.calendar import Calendar, zone_of
from gateway.limits.figures import OrganizationFigures
from gateway.observability.certificates import Certificates
from gateway.observability.families.books import DATABASE_ERRORS, DATABASE_SECONDS
from gateway.observability.families.processes import LOG_LINES_DROPPED
from gateway.observability.families.stores import STORE_ERRORS, STORE_SECONDS
from gateway.observability.log_writer import LogWriter
from gateway.observability.logs import build_logger
from gateway.observability.metrics import Metrics
from gateway.observability.operations import Operations
from gateway.observability.vitals import CONTROL, ProcessFigures
from gateway.oversight import Oversight, terms_of
from gateway.server.channel import (
    CONTROL_FOLDER,
    END_SECS,
    ControlAssignment,
    receive_control_assignment,
    report_failure,
    report_ready,
)
from gateway.server.orphan import end_if_orphaned
from gateway.server.pulse import Heart
from gateway.server.signals import leave_to_supervisor
from gateway.server.unix import UnixServer
from gateway.store.factory import open_store
from gateway.store.subjects import subjects

if TYPE_CHECKING:
    from gateway.settings import Settings

logger = logging.getLogger("gateway.control")  # by name: this module runs as `__main__`

REMEDY = "stop the gateway and run `gateway db copy`, or remove the file"
"""Against keys that a new DATABASE_URL has left behind."""
DRAIN_SECS = 5.0
"""How long the last records may take on their way; after it they stay in the journal, for the next control process."""


class Control:
    """One control process, wired.

    Args:
        settings: its generation's.
        metrics: its page of figures.
        board: the descriptor of its generation's board; None: there is none.
    """

    def __init__(self, settings: "Settings", metrics: Metrics, board: int | None) -> None:
        self._clock = clock = SystemClock()
        self._folder = settings.limiter_path / CONTROL_FOLDER
        names = subjects(shared=bool(settings.redis_url.get_secret_value()))
        timings = Operations(metrics, STORE_SECONDS, STORE_ERRORS, names)
        calendar = Calendar(zone_of(settings.quota_timezone))
        self._store = open_store(settings, clock, timings=timings, windows_at=calendar.windows_at)
        asked = Operations(metrics, DATABASE_SECONDS, DATABASE_ERRORS, OPERATIONS)
        self._database = Database(settings, clock, asked)
        self._certificates = Certificates(settings.tls_probe_addresses, metrics, clock)
        self._publisher = Publisher(settings.limiter_path / CATALOG_FOLDER, clock)
        self._spool = Spool(settings.data_path)
        self._bookkeeper = Bookkeeper(
            self._store.accounts,
            self._database.usage,
            self._spool,
            calendar.windows_at,
            metrics,
            clock,
        )
        self._live = Oversight(settings, self._store, board, calendar, metrics, clock)
        self._blob: bytes | None = None
        self._register = Register(
            self._live.static,
            self._database.models,
            DrainedHere(self._database.backends, self._live.drains),
            clock,
            rest_secs=settings.max_request_secs,
            published=partial(earlier_models, settings, clock),
        )
        self._publishing = Publishing(self._database, self._publisher, clock, metrics, self._models)
        terms = terms_of(settings, lambda: self._publishing.limits)
        self._organizations = OrganizationFigures(self._store, terms, calendar, metrics, clock)
        admin = Later(partial(load_admin, self._database, settings, self._live, clock))
        self._application = with_news(admin, self._publishing.wake)
        self._neighbours = Neighbours(
            self._database.hosts,
            self._store.accounts.host,
            shared=bool(settings.redis_url.get_secret_value()),
            folder=self._folder,
            metrics=metrics,
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        await self._store.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()
        with contextlib.suppress(DatabaseUnavailableError):
            await self._database.close()

    async def _models(self) -> bytes:
        """The models to publish, which operators see from then on."""
        blob = await self._register()
        if blob != self._blob:
            self._blob = blob
            self._live.follow(merge(self._live.static, read_edition(blob)).roster)
        return blob

    async def answer(self, path: Path, stop: asyncio.Event, on_started: Callable[[], None]) -> None:
        """Answer operators at a unix socket until `stop`; not before the database has its tables, if it answers."""
        with contextlib.suppress(DatabaseUnavailableError):
            await self._database.open()
            if left := await self._database.keys_left_behind():
                file, keys = left
                logger.warning("keys_left_behind", extra={"file": str(file), "keys": keys, "remedy": REMEDY})
        server = UnixServer(self._application, path, on_started)
        serving = asyncio.create_task(server.serve())
        over = asyncio.create_task(stop.wait())
        await asyncio.wait((serving, over), return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        await ended(over)

    async def on_duty(self, stop: asyncio.Event) -> None:
        """What one control process of the host does at a time: from the moment when it is its turn until `stop`."""
        with Duty(self._folder) as duty:
            if not await done_before(stop, duty.wait(self._clock)):
                return
            logger.info("control_on_duty", extra={"pid": os.getpid()})
            lives = (
                self._organizations.run(),
                self._publishing.run(),
                self._bookkeeper.run(),
                self._neighbours.run(),
                self._certificates.run(),
            )
            loops = [asyncio.create_task(life) for life in lives]
            over = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait((*loops, over), return_when=asyncio.FIRST_COMPLETED)
            finally:
                await ended(*loops)
                over.cancel()
                self._publisher.close()
            for loop in loops:
                if not loop.cancelled():
                    loop.result()  # a fault of ours: the next process begins anew
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECS):
                    await self._bookkeeper.drain()
            self._spool.close()


def load_admin(database: Database, settings: "Settings", live: Live, clock: Clock) -> ASGIApp:
    """What answers operators: 15 MiB and 0.3 s, which keys and books have no use for."""
    from gateway.admin.app import build_admin  # noqa: PLC0415 -- when somebody asks

    return build_admin(database, settings, live, clock)


def with_news(application: ASGIApp, wake: Callable[[], None]) -> ASGIApp:
    """The application, which has the publisher look as soon as it has answered what may have been a change."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope, receive, send)
        if scope["type"] == "http" and scope["method"] != "GET":
            wake()

    return answer


def earlier_models(settings: "Settings", clock: Clock) -> bytes:
    """What an earlier process has published of models; nothing, where nothing can be read."""
    with Catalog(settings.limiter_path / CATALOG_FOLDER, settings, clock) as catalog:
        try:
            return catalog.models()
        except CatalogUnavailableError:
            return b""


async def done_before(stop: asyncio.Event, task: Coroutine[object, object, None]) -> bool:
    """Whether the task was done before it was all over; it is cancelled if not."""
    doing, over = asyncio.create_task(task), asyncio.create_task(stop.wait())
    await asyncio.wait((doing, over), return_when=asyncio.FIRST_COMPLETED)
    done = doing.done()
    await ended(doing, over)
    if done:
        doing.result()
    return done


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them, and wait for their ends."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def listen_to(channel: socket.socket, stop: asyncio.Event) -> None:
    """End upon SIGTERM, and when the supervisor has gone."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def hear() -> None:
        word = b""
        with contextlib.suppress(ConnectionError):  # it has gone without having read all that we told it
            word = channel.recv(1)
        if not word:
            loop.remove_reader(channel)  # the end of a stream stays readable: without this the loop would spin
            logger.error("supervisor_died", extra={"pid": os.getpid()})
            stop.set()

    loop.add_reader(channel, hear)


async def serve(assignment: ControlAssignment, channel: socket.socket) -> None:
    """Do all that a control process does until SIGTERM, or the supervisor's death."""
    heart = Heart(assignment.pulse)
    settings: Settings = assignment.settings
    metrics = Metrics(assignment.page)
    figures = ProcessFigures(metrics, CONTROL)
    heart.on_beat = lambda _: figures.beat()
    writer = LogWriter(sys.stderr.fileno(), lambda: metrics.count(LOG_LINES_DROPPED))
    build_logger(settings, writer)
    stop = asyncio.Event()
    listen_to(channel, stop)
    end_if_orphaned(channel, END_SECS)
    try:
        async with Control(settings, metrics, assignment.board) as control:
            duty = asyncio.create_task(control.on_duty(stop))
            path = Path(assignment.socket)
            answering = asyncio.create_task(control.answer(path, stop, lambda: report_ready(channel)))
            await asyncio.wait((duty, answering), return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            await asyncio.gather(duty, answering)
    finally:
        writer.close()


def main(arguments: list[str]) -> int:
    """Be the control process: the argument is the inherited descriptor of the channel."""
    leave_to_supervisor()
    channel = socket.socket(fileno=int(arguments[0]))
    try:
        uvloop.run(serve(receive_control_assignment(channel), channel))
    except EOFError:  # nobody is there to be told
        return 1
    except Exception as error:
        logger.exception("control_failed")
        report_failure(channel, f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
