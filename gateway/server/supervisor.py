"""Who keeps the gateway alive? One process that binds, starts generations of workers, renews them and ends them."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from gateway.core.clock import SystemClock
from gateway.observability.build import tell_build
from gateway.observability.families.processes import RELOADS, WORKER_RESTARTS, WORKERS_CONFIGURED
from gateway.observability.metrics import Metrics
from gateway.server.blueprint import Blueprint, NotRenewedError, Renew
from gateway.server.channel import CONTROL_FOLDER, KILL_MARGIN_SECS, farewell_secs
from gateway.server.estate import Estate
from gateway.server.generation import Generation
from gateway.server.idle_watch import watching
from gateway.server.keeper import WorkerFailedError
from gateway.server.life import Ending, State, Worker
from gateway.server.listening import listen
from gateway.server.metrics import MetricsExporter
from gateway.server.pid_file import Notice, Outcome, PidFile
from gateway.server.process import WorkerProcess
from gateway.server.watchman import watch

logger = logging.getLogger(__name__)

STANDARD = (0, 1, 2)
"""Descriptors of standard input, output and error."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the gateway can be reached; ports as bound, also where 0 was asked for. `metrics` is 0 when off."""

    host: str
    port: int
    metrics: int


class Supervisor:
    """Runs worker processes on one listening socket until SIGTERM or SIGINT, and replaces them all upon SIGHUP.

    The workers are fresh interpreters, each with a channel: a worker tells there that it is ready or why it cannot
    be, hears there that it retires, and sees there that its supervisor has died, which ends it.

    Args:
        blueprint: what the first workers are made from.
        factory: `module:callable`, called as `factory(settings, identity)` for the ASGI application.
        renew: makes the blueprint of a reload.
        directory: where the pid file goes.
        first: a worker process for that factory which was born before the settings were known.
        on_ready: called once, when every worker serves.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        factory: str,
        renew: Renew,
        directory: Path,
        first: WorkerProcess | None = None,
        on_ready: Callable[[Endpoints], None] = lambda _: None,
    ) -> None:
        self._blueprint = blueprint
        """Of the generation that serves."""
        self._factory = factory
        self._renew = renew
        self._directory = directory
        self._born = [] if first is None else [first]
        self._on_ready = on_ready
        self._workers: set[Worker] = set()
        self._stopping = asyncio.Event()
        self._lives: dict[asyncio.Task[None], Generation] = {}
        """All generations, those that retire among them."""
        self._failure: BaseException | None = None
        self._reload_asked = asyncio.Event()
        self._pid_file: PidFile | None = None
        self._notice = Notice()

    async def run(self) -> None:
        """Serve until told to stop, then let requests finish.

        SIGTERM, SIGINT and SIGHUP stay ours when it returns; there is nothing left that they could ask for.

        Raises:
            CannotListenError: the address or the metrics' address is taken.
            WorkerFailedError: a worker did not come up at the start; none is left running.
        """
        settings = self._blueprint.settings
        with listen(settings.gateway_host, settings.gateway_port) as listener, closing(MetricsExporter()) as exporter:
            port = listener.getsockname()[1]
            metrics = exporter.listen(settings.metrics_host, settings.metrics_port) if settings.metrics_port else 0
            with exporter.page() as page, watching(self._blueprint.idle_folder, exporter.totals):
                figures = Metrics(page)
                for outcome in (Outcome.DONE, Outcome.REFUSED, Outcome.FAILED):
                    figures.figure(RELOADS, outcome)
                for reason in Ending:
                    figures.figure(WORKER_RESTARTS, reason)
                tell_build(figures, SystemClock.wall())
                estate = Estate(self._factory, listener, exporter, figures, self._born, self._workers, self._stopping)
                estate.control_socket = str(self._directory / CONTROL_FOLDER / f"{port}.sock")
                self._hear_signals()
                await self._supervise(estate, Endpoints(settings.gateway_host, port, metrics))

    def stop(self) -> None:
        """Begin the end; the second call does not wait for the requests. What runs only afterwards ends at once."""
        if self._stopping.is_set():
            logger.warning("drain_abandoned", extra={"workers": len(self._workers)})
            for worker in self._workers:
                worker.kill()
            return
        drain_secs = self._blueprint.settings.drain_secs
        logger.info("drain_began", extra={"workers": len(self._workers), "drain_secs": drain_secs})
        self._stopping.set()

    def reload(self) -> None:
        """Replace all workers, as soon as they all serve; one that is asked for during another comes after it."""
        self._reload_asked.set()

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        terminals = [number for number in STANDARD if os.isatty(number)]

        def hang_up() -> None:
            """The same signal says that our terminal was closed, and then it means what it always did."""
            if all(os.isatty(number) for number in terminals):
                self.reload()
            else:
                self.stop()

        def hear(number: int, answer: Callable[[], None]) -> None:
            # Not by the loop's own means: its end would give the signals back, and a second one end us by accident.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(answer))

        for number, answer in ((signal.SIGTERM, self.stop), (signal.SIGINT, self.stop), (signal.SIGHUP, hang_up)):
            hear(number, answer)

    async def _supervise(self, estate: Estate, endpoints: Endpoints) -> None:
        generation = Generation(self._blueprint, estate)
        _tell_configured(estate, generation)
        watching = asyncio.create_task(watch(estate.workers, estate.figures, self._blocked_secs))
        stopped = asyncio.create_task(estate.stopping.wait())
        self._begin(generation)
        try:
            with ExitStack() as while_listening:
                await asyncio.wait((generation.serving, stopped), return_when=asyncio.FIRST_COMPLETED)
                if generation.serving.done():
                    generation.serving.result()
                    estate.exporter.answer()
                    self._announce(while_listening, endpoints.port)
                    self._on_ready(endpoints)
                    await self._reload_until(stopped, estate, generation)
        finally:
            estate.stopping.set()
            # Closing our copy would leave the port open for as long as a busy worker holds its own.
            estate.listener.shutdown(socket.SHUT_RDWR)
            estate.listener.close()
            await self._end()
            watching.cancel()
        if self._failure is not None:
            raise self._failure
        logger.info("stopped")

    def _blocked_secs(self) -> float:
        return self._blueprint.settings.worker_blocked_secs

    def _begin(self, generation: Generation) -> None:
        life = asyncio.create_task(generation.run())
        self._lives[life] = generation
        life.add_done_callback(self._ended)

    def _ended(self, life: asyncio.Task[None]) -> None:
        generation = self._lives.pop(life)
        # A generation's parts know each other, and a supervisor makes too little for the collector to come by itself.
        asyncio.get_running_loop().call_soon(gc.collect)
        error = life.exception()
        if error is None:
            return
        if generation.blueprint is self._blueprint:  # nobody is left who serves
            self._failure = error
            self._stopping.set()
        else:
            logger.error("generation_failed", exc_info=error)
            generation.fail(repr(error))

    def _announce(self, scope: ExitStack, port: int) -> None:
        """Write the pid file; without it the gateway serves all the same."""
        try:
            file = scope.enter_context(PidFile(self._directory, port))
        except OSError as error:
            logger.warning("pid_file_not_written", extra={"why": str(error), "directory": str(self._directory)})
            return
        self._pid_file = file

    async def _reload_until(self, stopped: asyncio.Task[bool], estate: Estate, generation: Generation) -> None:
        """Reload whenever that is asked for; `generation` serves first."""
        while not stopped.done():
            reloading = asyncio.create_task(self._reload_when_asked(estate, generation))
            await asyncio.wait((reloading, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not reloading.cancel():
                generation = reloading.result()

    async def _reload_when_asked(self, estate: Estate, before: Generation) -> Generation:
        """The generation that serves afterwards."""
        await self._reload_asked.wait()
        self._reload_asked.clear()
        return await self._reload(estate, before)

    async def _reload(self, estate: Estate, before: Generation) -> Generation:
        """Replace the generation that serves by a new one, or say why not; the one that serves from then on."""
        self._tell(Outcome.RUNNING)
        try:
            after = await self._successor(estate, before)
        except NotRenewedError as error:
            estate.figures.count(RELOADS, error.outcome)
            logger.error("not_reloaded", extra={"outcome": error.outcome, "why": list(error.reasons)})  # noqa: TRY400 -- the line is enough
            self._tell(Outcome(error.outcome), *error.reasons)
            return before
        workers, old = (one.blueprint.settings.gateway_workers for one in (after, before))
        estate.figures.count(RELOADS, Outcome.DONE)
        logger.info("reloaded", extra={"workers": workers, "retiring": old})
        self._tell(Outcome.DONE, f"{workers} new workers serve; the {old} old ones finish what they have")
        return after

    async def _successor(self, estate: Estate, before: Generation) -> Generation:
        """The generation that has taken the place of the one that serves.

        Raises:
            NotRenewedError: the one before serves on. A fault of ours is no reason to end it either.
        """
        try:
            after = Generation(await self._renew(), estate, before)
            await self._replace(before, after)
            _tell_configured(estate, after)
        except NotRenewedError:
            raise
        except Exception as error:
            logger.exception("reload_failed")
            raise NotRenewedError([f"a fault of ours, the log has more: {error!r}"], Outcome.FAILED) from error
        return after

    async def _replace(self, before: Generation, after: Generation) -> None:
        """Let the old workers retire when every new one serves: until then nothing is lost by giving up.

        Raises:
            NotRenewedError: a new worker did not come up.
        """
        self._begin(after)
        try:
            await asyncio.shield(after.serving)
        except WorkerFailedError as error:
            raise NotRenewedError(str(error).splitlines(), Outcome.FAILED) from error
        self._blueprint = after.blueprint
        before.retire()

    def _tell(self, outcome: Outcome, *words: str) -> None:
        """Say what becomes of a reload to whoever asked for it by `gateway reload`."""
        began = outcome is Outcome.RUNNING
        self._notice = Notice(self._notice.reloads + began, outcome, words)
        if self._pid_file is None:
            return
        try:
            self._pid_file.tell(self._notice)
        except OSError as error:  # the disk may be full: `gateway reload` waits in vain, and the log has to tell why
            logger.warning("notice_not_written", extra={"outcome": outcome, "why": str(error)})

    async def _end(self) -> None:
        """Wait for all workers to finish, for none longer than it was told to take, and not for who never served."""
        for worker in self._workers:
            worker.terminate()
        if not self._lives:
            return
        patience = max(farewell_secs(one.blueprint.settings.drain_secs) for one in self._lives.values())
        _, late = await asyncio.wait(self._lives, timeout=KILL_MARGIN_SECS)
        if late:
            self._kill_overdue((worker for worker in self._workers if worker.state is State.STARTING), KILL_MARGIN_SECS)
            _, late = await asyncio.wait(late, timeout=patience - KILL_MARGIN_SECS)
        if late:
            self._kill_overdue(self._workers, patience)
            await asyncio.wait(late)

    @staticmethod
    def _kill_overdue(workers: Iterable[Worker], patience: float) -> None:
        for worker in workers:
            logger.error("worker_overdue", extra={**worker.as_fields(), "killed_after": patience})
            worker.kill()


def _tell_configured(estate: Estate, generation: Generation) -> None:
    """Show how many workers are to serve from now on."""
    estate.figures.figure(WORKERS_CONFIGURED).put(generation.blueprint.settings.gateway_workers)
