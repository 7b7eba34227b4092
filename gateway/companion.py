"""What does the supervisor know of the fleet, for all its workers? One prober, the board it writes on, and figures."""

import asyncio
import contextlib
import errno
import logging
import os
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Self

from gateway.backends.board import Board, create_board
from gateway.backends.board_layout import ROWS
from gateway.backends.breaker import Breaker
from gateway.backends.choices import BackendsShared
from gateway.backends.circuit import Change, tell_circuit
from gateway.backends.figures import BackendFigures
from gateway.backends.heritage import Heritage
from gateway.backends.probed import Probed, tell_change
from gateway.backends.roster import Roster
from gateway.catalog.head import FOLDER as CATALOG_FOLDER
from gateway.core.clock import Clock, SystemClock
from gateway.core.events import EventLog
from gateway.core.fleet import Backend
from gateway.fleet.live import live_fleet
from gateway.observability.families.processes import CONFIG
from gateway.observability.fingerprint import fingerprint
from gateway.observability.gauge import Gauge
from gateway.observability.metrics import Metrics
from gateway.settings import Settings
from gateway.store.choices import StoreKind

if TYPE_CHECKING:  # they load clients, which the first worker's start must not wait for
    from gateway.backends.in_common import InCommon
    from gateway.backends.prober import Prober
    from gateway.catalog.reader import Catalog

logger = logging.getLogger(__name__)

AGAIN_SECS = 5.0
"""After a fault of ours that ended the prober; meanwhile its board is silent, and workers try every backend."""
LOOK_SECS = 1.0
"""Between two looks at what changes without a probe: the circuits, and how many requests are where."""
POLL_SECS = 0.02
"""While the first round of probes is waited for."""


class Companion:
    """Watches the fleet for the workers of one generation; a scope (`async with companion:`).

    Args:
        settings: that generation's.
        page: the descriptor of the page for its figures.
        log: is told when a backend comes or goes.
        before: the companion of the generation before, whose circuits and verdicts are taken over and which says no
            more from now on, as long as this one lives.
        clock: all times.
    """

    def __init__(
        self,
        settings: Settings,
        page: int,
        log: EventLog,
        before: "Companion | None" = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._clock = clock or SystemClock()
        self._before = None if before is None else weakref.ref(before)
        self._catalog = glances(settings, self._clock)
        self._fleet = live_fleet(settings, self._catalog)
        self._free = list(reversed(range(ROWS)))
        self._begun = asyncio.Event()
        self._prober: Prober | None = None
        self._task: asyncio.Task[None] | None = None
        self._looks: asyncio.Task[None] | None = None
        self._follows: asyncio.Task[None] | None = None
        self._shares: asyncio.Task[None] | None = None
        self._in_common: InCommon | None = None
        self._metrics = Metrics(page)
        self._figures = BackendFigures(self._metrics, settings.max_inflight_per_backend)
        self._config = Gauge(self._metrics, CONFIG, fingerprint(settings))
        self._scope = contextlib.ExitStack()

    async def __aenter__(self) -> Self:
        descriptor = create_board()
        self._scope.callback(os.close, descriptor)
        self._descriptor = descriptor
        self.board = Board([backend for _, backend in self._fleet.static.backends()], descriptor)
        if self._catalog is not None:
            self._scope.enter_context(self._catalog)
            self._fleet.refresh()
        self.board.follow(self._fleet.roster.placed())
        before = self._replaced()
        stall, now = self._settings.backend_stall_secs, self._clock.monotonic()
        self.heritage: Heritage = Heritage(self.board, stall, now, None if before is None else before.heritage)
        self._scope.callback(self.heritage.leave)
        if before is not None:
            before.hush(quiet=True)
        self.hush(quiet=False)
        self._task = asyncio.create_task(self._watch(), name="companion")
        self._looks = asyncio.create_task(self._look(), name="figures of the backends")
        self._fleet.listen(self._follow)
        self._follows = asyncio.create_task(self._fleet.run(self._clock), name="models at run time")
        if self._settings.redis_url.get_secret_value() and self._settings.backends_shared is not BackendsShared.OFF:
            self._shares = asyncio.create_task(self._share(), name="circuits of all hosts")
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._task, self._looks, self._follows, self._shares):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if not self._figures.quiet and (before := self._replaced()) is not None:
            before.hush(quiet=False)  # it speaks again if it is still there: this generation did not come up
        self._figures.clear()
        self._config.set(0)
        self._scope.close()

    @property
    def descriptor(self) -> int:
        """The board's, for workers to inherit."""
        return self._descriptor

    @contextlib.contextmanager
    def row(self) -> Iterator[int]:
        """A worker's own row of the board, clear when it is given and when it is taken back.

        Raises:
            OSError: every row is some worker's.
        """
        if not self._free:
            raise OSError(errno.ENOSPC, f"{ROWS} workers of one generation live")
        row = self._free.pop()
        try:
            self.board.clear_row(row)
            yield row
        finally:
            self.board.clear_row(row)
            self._free.append(row)

    def begin(self) -> None:
        """Probe from now on; until then nothing is loaded for it, and who was never probed is tried like any other."""
        self._begun.set()

    async def first_round(self) -> None:
        """Return when every backend was probed once."""
        while self._prober is None or not self._prober.has_looked:
            await self._clock.sleep(POLL_SECS)

    def hush(self, *, quiet: bool) -> None:
        """Say no more of backends and settings, as another companion does; or say from now on what is known."""
        self._figures.quiet = quiet
        self._config.set(not quiet)
        self._figures.clear()
        for backend in () if quiet else self._backends():
            if (known := self.board.verdict(backend.name)) is not None:
                self._figures.take(Probed(backend, known, known, self.heritage.seen(backend).in_flight))

    async def _watch(self) -> None:
        """Run the prober; a fault of ours must not end it for good."""
        await self._begun.wait()
        while True:
            try:
                await self._probe()
            except Exception:
                logger.exception("prober_failed", extra={"again_in_secs": AGAIN_SECS})
            await self._clock.sleep(AGAIN_SECS)

    async def _probe(self) -> None:
        module = await asyncio.to_thread(import_module, "gateway.backends.prober")
        self._prober = module.Prober(
            self._settings,
            self.heritage,
            Breaker(self.board, self._settings, self._clock, self._tell_circuit),
            self._clock,
            ca_file=self._settings.upstream_ca_file,
            on_probe=self._tell,
        )
        self._prober.follow(self._fleet.roster)
        await self._prober.run()

    async def _share(self) -> None:
        """Have circuits in common with the other hosts; a fault of ours must not end it for good."""
        await self._begun.wait()
        names = "gateway.backends.in_common", "gateway.store.valkey.circuits"
        ours, theirs = [await asyncio.to_thread(import_module, name) for name in names]
        while True:
            exchange = theirs.ValkeyCircuits(self._settings)
            breaker = Breaker(self.board, self._settings, self._clock, self._tell_circuit)
            in_common = ours.InCommon(exchange, self.heritage, breaker, self._settings, self._clock)
            in_common.follow(self._fleet.roster)
            self._in_common = in_common
            try:
                await in_common.run()
            except Exception:
                logger.exception("circuits_not_shared", extra={"again_in_secs": AGAIN_SECS})
            finally:
                exchange.close()
            await self._clock.sleep(AGAIN_SECS)

    def _tell(self, probed: Probed) -> None:
        if self._in_common is not None:
            self._in_common.probed(probed)
        if not self._figures.quiet:
            tell_change(self._log, probed)
            self._figures.take(probed)

    def _tell_circuit(self, change: Change) -> None:
        if not self._figures.quiet:
            tell_circuit(self._log, self._metrics, change)

    def _follow(self, roster: Roster) -> None:
        """Other backends are to be watched."""
        self.board.follow(roster.placed())
        if self._prober is not None:
            self._prober.follow(roster)
        if self._in_common is not None:
            self._in_common.follow(roster)
        self._figures.keep({backend.name for _, backend in roster.backends()})

    def _backends(self) -> list[Backend]:
        return [backend for _, backend in self._fleet.roster.backends()]

    async def _look(self) -> None:
        """Show what is on the board, once a second."""
        breaker = Breaker(self.board, self._settings, self._clock)
        while True:
            if not self._figures.quiet:
                for backend in self._backends():
                    standing = breaker.standing(self.board.index(backend.name))
                    self._figures.look(backend.name, standing, self.heritage.seen(backend).in_flight)
                self._figures.show()
            await self._clock.sleep(LOOK_SECS)

    def _replaced(self) -> "Companion | None":
        """The companion of the generation before, as long as that lives; we do not make it live longer."""
        return None if self._before is None else self._before()


class Glances:
    """The catalog as a supervisor reads it, in which companions of several generations live; a scope.

    LMDB opens an environment once in a process, so that none of them keeps it open: a change of models is rare.

    Args:
        make: makes a reader.
    """

    def __init__(self, make: "Callable[[], Catalog]") -> None:
        self._make = make
        self._head = make()

    def __enter__(self) -> Self:
        self._head.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._head.close()

    @property
    def version(self) -> Callable[[], int]:
        """As the catalog's."""
        return self._head.version

    def look(self) -> None:
        """As the catalog's."""
        self._head.look()

    def models(self) -> bytes:
        """As the catalog's."""
        with self._make() as reader:
            return reader.models()


def glances(settings: Settings, clock: Clock) -> Glances | None:
    """What the control process publishes; None where no other process could read it."""
    if settings.limiter_store is StoreKind.MEMORY:
        return None
    from gateway.catalog.reader import Catalog  # noqa: PLC0415 -- LMDB, for which no first worker has to wait

    return Glances(partial(Catalog, settings.limiter_path / CATALOG_FOLDER, settings, clock))


def companions(settings: Settings, log: EventLog) -> Callable[[int, object], Companion]:
    """What makes a generation's companion from the descriptor of its figures' page and the companion before it."""

    def make(page: int, before: object) -> Companion:
        return Companion(settings, page, log, before if isinstance(before, Companion) else None)

    return make
