"""Which workers stand still? A look at every pulse once a second; one that stopped is reported, and never killed."""

import asyncio
import logging
from collections.abc import Callable, Collection

from gateway.observability.families.processes import BLOCKED
from gateway.observability.metrics import Metrics
from gateway.observability.vitals import SUPERVISOR, ProcessFigures
from gateway.server.life import Worker

logger = logging.getLogger(__name__)

LOOK_SECS = 1.0
OVERSLEPT_SECS = 1.0
"""If we come so late ourselves, the host stood still or the container was paused: that says nothing of a worker."""
AGAIN_SECS = 5.0
"""After a fault of ours: one that stays is then told now and then, not every second."""
STACK_SECS = 2.0
"""How long an answer about the stack is waited for; a process that is stopped (SIGSTOP) gives none."""
SETTLED_SECS = 0.05
"""A stack is complete when it has not grown for so long."""


async def watch(workers: Collection[Worker], figures: Metrics, blocked_secs: Callable[[], float]) -> None:
    """Look after `workers` until cancelled: each whose loop stands still for `blocked_secs()` is reported once."""
    loop = asyncio.get_running_loop()
    ourselves = ProcessFigures(figures, SUPERVISOR)
    while True:
        ourselves.beat()
        due = loop.time() + LOOK_SECS
        await _pause(LOOK_SECS)
        if loop.time() > due + OVERSLEPT_SECS:
            continue
        try:
            for worker in tuple(workers):
                if worker in workers:  # it may have ended while another's stack was waited for
                    await look_at(worker, workers, figures, blocked_secs())
        except Exception:  # a fault of ours must not end the watch for good
            logger.exception("watchman_failed", extra={"again_in_secs": AGAIN_SECS})
            await _pause(AGAIN_SECS)


async def look_at(worker: Worker, workers: Collection[Worker], figures: Metrics, blocked_secs: float) -> None:
    """Report that one of the workers stands still, or that it goes on."""
    last = worker.pulse.last()
    if worker.blocked_since is not None:
        if last > worker.blocked_since:
            secs = round(last - worker.blocked_since, 1)
            worker.blocked_since = None
            logger.warning("worker_goes_on", extra={**worker.as_fields(), "blocked_secs": secs})
        return
    still = asyncio.get_running_loop().time() - last
    if last and still >= blocked_secs:
        worker.blocked_since = last
        figures.count(BLOCKED)
        stack = await stack_of(worker, workers)
        logger.error("worker_blocked", extra={**worker.as_fields(), "blocked_secs": round(still, 1), "stack": stack})


async def stack_of(worker: Worker, workers: Collection[Worker]) -> list[str]:
    """Where one of the workers stands, as `Pulse.stack`; empty when it does not answer or ends meanwhile."""
    deadline = asyncio.get_running_loop().time() + STACK_SECS
    worker.ask_stack()
    stack: list[str] = []
    while asyncio.get_running_loop().time() < deadline:
        await _pause(SETTLED_SECS)
        if worker not in workers:  # its pulse's descriptor is closed, and may be another file's by now
            return []
        before, stack = stack, worker.pulse.stack()
        if stack and stack == before:
            break
    return stack


async def _pause(secs: float) -> None:
    await asyncio.sleep(secs)  # noqa: TID251 -- other processes keep real time
