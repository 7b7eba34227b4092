"""Who keeps one worker alive? It starts one, and another in its place whenever it dies, until it is retired."""

import asyncio
import logging
import signal

from gateway.observability.families.processes import WORKER_RESTARTS
from gateway.server.blueprint import Blueprint, Companion
from gateway.server.channel import farewell_secs
from gateway.server.estate import Estate
from gateway.server.life import Worker

logger = logging.getLogger(__name__)

STEADY_SECS = 10.0
"""A worker that lived this long is replaced at once when it dies; one that did not may be crashing in a loop."""
BACKOFF_SECS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""The wait before the next try, by the number of quick deaths in a row."""
NOT_STARTED_SECS = 2.0
"""What a worker that cannot even be started lacks is given back by others, at a time that nobody tells."""
AS_TOLD = frozenset({0, -signal.SIGTERM})
"""Exit codes of a worker that was told to end: by itself, or before it had learned what SIGTERM means."""


class WorkerFailedError(Exception):
    """A worker could not start; the message is for the operator."""


class Keeper:
    """Keeps worker `index` of a generation; its life is `run`.

    Attributes:
        serving: True when the first worker serves; False when it is wanted no more. It fails with WorkerFailedError
            when the worker cannot come up: then `run` has nothing more to do.
    """

    def __init__(self, index: int, estate: Estate, blueprint: Blueprint, companion: Companion) -> None:
        self.serving: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._index = index
        self._estate = estate
        self._blueprint = blueprint
        self._companion = companion
        self._over = asyncio.Event()
        """Set when the worker is not to be replaced any more."""
        self._worker: Worker | None = None
        self._deadlines: list[asyncio.TimerHandle] = []

    async def run(self) -> None:
        """Run the worker and whoever takes its place, until it was retired or all is to end."""
        await self._keep()
        if not self.serving.done():
            self.serving.set_result(False)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        quick_deaths = 0
        while not self._done():
            born = loop.time()
            try:
                worker = await self._live()
            except OSError as error:  # no descriptor, process or memory for it: the others go on meanwhile
                if not self.serving.done():
                    self._fail(f"worker {self._index} cannot be started: {error}")
                    return
                logger.error("worker_not_started", extra={"worker": self._index, "why": str(error)})  # noqa: TRY400 -- the line is enough
                await self._pause(NOT_STARTED_SECS)
                continue
            if not self.serving.done():
                self._fail(worker.failure or f"worker {self._index} (pid {worker.pid}) {worker.how_it_ended()}")
                return
            if self._done() and worker.code in AS_TOLD:
                if not self._estate.stopping.is_set():
                    logger.info("worker_retired", extra=worker.as_fields())
                return
            quick_deaths = quick_deaths + 1 if loop.time() - born < STEADY_SECS else 0
            delay = BACKOFF_SECS[min(max(quick_deaths - 1, 0), len(BACKOFF_SECS) - 1)]
            next_one = {} if self._done() else {"next_in_secs": delay}
            logger.error("worker_died", extra={**worker.as_fields(), "how": worker.how_it_ended(), **next_one})
            await self._pause(delay)
            if not self._done():
                self._estate.figures.count(WORKER_RESTARTS, worker.ending)

    def serves(self) -> bool:
        """Whether its first worker has come up."""
        return self.serving.done() and self.serving.exception() is None and self.serving.result()

    def retire(self) -> None:
        """Replace the worker no more; it ends when its connections have, or when no request of its may still run."""
        if self._done():
            return
        self._over.set()
        worker = self._worker
        if worker is None:
            return
        worker.retire()
        settings = self._blueprint.settings
        # A connection may be used once more at the last moment of its idleness, and for the longest request.
        patience = settings.client_keepalive_secs + self._blueprint.longest_request
        end = patience + farewell_secs(settings.drain_secs)
        loop = asyncio.get_running_loop()
        self._deadlines = [loop.call_later(patience, worker.terminate), loop.call_later(end, worker.kill)]

    def kill(self) -> None:
        """End the worker at once, and replace it no more."""
        self._over.set()
        if self._worker is not None:
            self._worker.kill()

    def _done(self) -> bool:
        return self._over.is_set() or self._estate.stopping.is_set()

    def _fail(self, why: str) -> None:
        if not self._done():
            self.serving.set_exception(WorkerFailedError(why))
            self.serving.exception()  # seen: of several that fail, one is told

    async def _live(self) -> Worker:
        """Start a worker, and be there until it has ended."""
        with self._estate.worker(self._index, self._blueprint, self._companion) as worker:
            self._worker = worker
            try:
                if await worker.serves():
                    logger.info("worker_serving", extra=worker.as_fields())
                    if not self.serving.done():
                        self.serving.set_result(True)
                await worker.ended()
            finally:
                self._worker = None
                for deadline in self._deadlines:
                    deadline.cancel()
        return worker

    async def _pause(self, secs: float) -> None:
        """Wait, or until there is nothing more to do."""
        ends = [asyncio.ensure_future(event.wait()) for event in (self._over, self._estate.stopping)]
        try:
            await asyncio.wait(ends, timeout=secs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
