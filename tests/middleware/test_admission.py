"""A slot is held around whatever a request does, and the gauges return to zero on every way it can end."""

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from gateway.admission.settings import AdmissionSettings
from gateway.admission.turnstile import Turnstile
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.errors import QueueFullError, QueueTimeoutError
from gateway.core.lifeline import Cut
from gateway.middleware.admission import Admission
from gateway.observability.live import LiveGauges
from gateway.observability.metrics import Metrics
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, HEALTH, Told, context, nothing_to_receive

pytestmark = pytest.mark.anyio


class Door:
    """The layer with one slot and one place in the queue; whoever holds the slot waits for `free`."""

    def __init__(self, *, patience: float = 30.0) -> None:
        self.store = MemoryStore(StoreSettings(), HandTime())
        self.gauges = LiveGauges(Metrics())
        self.inside = asyncio.Event()
        self.free = asyncio.Event()
        self.failure: Exception | None = None
        self.contexts: list[RequestContext] = []
        settings = AdmissionSettings(max_inflight_per_ip=1, max_queued_per_ip=1, queue_timeout_secs=patience)
        self._layer = Admission(self._app, Turnstile(settings, self.store), self.gauges)

    async def _app(self, *_: object) -> None:
        self.inside.set()
        await self.free.wait()
        if self.failure is not None:
            raise self.failure

    async def visit(self, endpoint: Endpoint = CHAT) -> RequestContext:
        ctx = context(endpoint, organization="ip:203.0.113.7")
        self.contexts.append(ctx)
        await self._layer({CONTEXT_KEY: ctx}, nothing_to_receive, Told())
        return ctx

    @property
    def counted(self) -> tuple[int, int]:
        """What the gauges say: running, waiting."""
        return self.gauges.in_flight, self.gauges.queued

    async def until(self, running: int, waiting: int) -> None:
        async with asyncio.timeout(30):
            while self.counted != (running, waiting):
                await checkpoint()


async def test_a_request_holds_its_slot_until_it_has_ended() -> None:
    door = Door()
    task = asyncio.create_task(door.visit())
    await door.inside.wait()
    assert door.counted == (1, 0)
    assert door.store.counts().in_flight == 1
    door.free.set()
    ctx = await task
    assert (ctx.queue_wait, ctx.phase) == (0.0, Phase.QUEUED)
    assert door.counted == (0, 0)
    assert door.store.counts().in_flight == 0


async def test_whoever_waits_is_counted_as_waiting() -> None:
    door = Door()
    first = asyncio.create_task(door.visit())
    await door.inside.wait()
    second = asyncio.create_task(door.visit())
    await door.until(1, 1)
    door.free.set()
    await asyncio.gather(first, second)
    assert door.counted == (0, 0)
    assert door.contexts[1].queue_wait is not None


async def test_a_failure_returns_the_slot() -> None:
    door = Door()
    door.failure = ZeroDivisionError()
    door.free.set()
    with pytest.raises(ZeroDivisionError):
        await door.visit()
    assert door.counted == (0, 0)
    assert door.store.counts().in_flight == 0


async def test_a_full_queue_counts_nobody() -> None:
    door = Door()
    tasks = [asyncio.create_task(door.visit()) for _ in range(2)]
    await door.until(1, 1)
    with pytest.raises(QueueFullError):
        await door.visit()
    assert door.counted == (1, 1)
    door.free.set()
    await asyncio.gather(*tasks)
    assert door.counted == (0, 0)


async def test_a_wait_that_is_over_counts_nobody() -> None:
    door = Door(patience=0.01)
    task = asyncio.create_task(door.visit())
    await door.inside.wait()
    with pytest.raises(QueueTimeoutError):
        await door.visit()
    assert door.counted == (1, 0)
    door.free.set()
    await task


@pytest.mark.parametrize("cut", [0, 1], ids=["the one that runs", "the one that waits"])
async def test_a_cut_returns_what_was_held(cut: int) -> None:
    door = Door()
    tasks = [asyncio.create_task(door.visit()) for _ in range(2)]
    await door.until(1, 1)
    door.contexts[cut].lifeline.cut(Cut.CLIENT_GONE)
    with pytest.raises(asyncio.CancelledError):
        await tasks[cut]
    await door.until(1, 0)
    assert door.store.counts()[:2] == (1, 0)
    door.free.set()
    await tasks[1 - cut]
    assert door.counted == (0, 0)
    assert door.store.counts().in_flight == 0


async def test_a_cut_that_lands_together_with_the_slot_returns_it() -> None:
    door = Door()
    tasks = [asyncio.create_task(door.visit()) for _ in range(2)]
    await door.until(1, 1)
    # The first one's end gives the slot to the second in the very turn in which the second is cut.
    tasks[0].add_done_callback(lambda _: door.contexts[1].lifeline.cut(Cut.CLIENT_GONE))
    door.free.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert door.counted == (0, 0)
    assert door.store.counts()[:2] == (0, 0)


async def test_own_endpoints_need_no_slot() -> None:
    door = Door()
    task = asyncio.create_task(door.visit(HEALTH))
    await door.inside.wait()
    assert door.counted == (0, 0)
    assert door.store.counts().in_flight == 0
    door.free.set()
    assert (await task).queue_wait is None
