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
from gateway.core.principal import MASTER, Principal
from gateway.middleware.admission import Admission
from gateway.observability.live import LiveGauges
from gateway.observability.metrics import Metrics
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, HEALTH, Told, context, nothing_to_receive

pytestmark = pytest.mark.anyio


ORGANIZATION = "org:acme"
OF_A_KEY = Principal(ORGANIZATION, "k1", concurrency=3)


class Door:
    """The layer with one slot and one place in the queue, or more; whoever holds a slot waits for `free`."""

    def __init__(self, *, slots: int = 1, queued: int = 1, patience: float = 30.0) -> None:
        self.clock = HandTime()
        self.store = MemoryStore(StoreSettings(), self.clock)
        self.gauges = LiveGauges(Metrics())
        self.inside = asyncio.Event()
        self.free = asyncio.Event()
        self.failure: Exception | None = None
        self.contexts: list[RequestContext] = []
        settings = AdmissionSettings(max_inflight_per_ip=slots, max_queued_per_ip=queued, queue_timeout_secs=patience)
        self._layer = Admission(self._app, Turnstile(settings, self.store), self.gauges)

    async def _app(self, *_: object) -> None:
        self.inside.set()
        await self.free.wait()
        if self.failure is not None:
            raise self.failure

    async def visit(self, endpoint: Endpoint = CHAT, principal: Principal = MASTER) -> RequestContext:
        ctx = context(endpoint, organization=ORGANIZATION)
        ctx.principal = principal
        self.contexts.append(ctx)
        await self._layer({CONTEXT_KEY: ctx}, nothing_to_receive, Told())
        return ctx

    @property
    def counted(self) -> tuple[int, int]:
        """What the gauges say: running, waiting."""
        return self.gauges.in_flight, self.gauges.queued

    def visits(self, count: int, principal: Principal = MASTER) -> list[asyncio.Task[RequestContext]]:
        """So many at once."""
        return [asyncio.create_task(self.visit(principal=principal)) for _ in range(count)]

    def taken(self, name: str) -> tuple[int, int]:
        """Slots of an organization or a key, and who waits for one."""
        found = [(one.in_flight, one.queued) for one in self.store.counts().busiest if one.key == name]
        return found[0] if found else (0, 0)

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


async def test_of_a_key_with_three_slots_three_run_and_its_organization_goes_on() -> None:
    door = Door(slots=120, queued=240)
    of_the_key, others = door.visits(10, OF_A_KEY), door.visits(5)
    await door.until(3 + 5, 7)
    assert door.taken("key:k1") == (3, 7)
    assert door.taken(ORGANIZATION) == (3 + 5, 0)  # who waits for the key's slot keeps none from others
    door.free.set()
    await asyncio.gather(*of_the_key, *others)
    assert door.counted == (0, 0)
    assert door.store.counts() == (0, 0, 0, ())


async def test_another_keys_requests_do_not_wait_for_this_ones() -> None:
    door = Door(slots=120, queued=240)
    tasks = [*door.visits(4, OF_A_KEY), *door.visits(4, Principal(ORGANIZATION, "k2", concurrency=2))]
    await door.until(3 + 2, 1 + 2)
    assert (door.taken("key:k1"), door.taken("key:k2")) == ((3, 1), (2, 2))
    door.free.set()
    await asyncio.gather(*tasks)


async def test_a_key_with_more_slots_than_its_organization_gets_no_more_than_that() -> None:
    door = Door(slots=2, queued=240)
    tasks = door.visits(4, OF_A_KEY)
    await door.until(2, 2)
    assert (door.taken("key:k1"), door.taken(ORGANIZATION)) == ((3, 1), (2, 1))
    door.free.set()
    await asyncio.gather(*tasks)
    assert door.store.counts() == (0, 0, 0, ())


async def test_the_waits_for_both_slots_add_up() -> None:
    door = Door(slots=1, queued=240)
    one = Principal(ORGANIZATION, "k1", concurrency=1)
    tasks = [*door.visits(1), *door.visits(2, one)]
    await door.until(1, 2)
    door.clock.advance(3.0)
    door.free.set()
    await asyncio.gather(*tasks)
    assert [ctx.queue_wait for ctx in door.contexts] == [0.0, 3.0, 3.0]


async def test_a_full_queue_before_a_keys_slots_is_the_callers_limit() -> None:
    door = Door(slots=120, queued=1)
    tasks = door.visits(4, OF_A_KEY)
    await door.until(3, 1)
    with pytest.raises(QueueFullError, match="3 requests are running and 1 are waiting"):
        await door.visit(principal=OF_A_KEY)
    assert (door.counted, door.taken("key:k1")) == ((3, 1), (3, 1))
    door.free.set()
    await asyncio.gather(*tasks)
    assert door.store.counts() == (0, 0, 0, ())


async def test_a_full_queue_of_the_organization_returns_the_keys_slot() -> None:
    door = Door(slots=1, queued=1)
    tasks = [*door.visits(1), *door.visits(1, OF_A_KEY)]
    await door.until(1, 1)
    with pytest.raises(QueueFullError):
        await door.visit(principal=OF_A_KEY)
    assert (door.taken("key:k1"), door.taken(ORGANIZATION)) == ((1, 0), (1, 1))
    door.free.set()
    await asyncio.gather(*tasks)
    assert door.store.counts() == (0, 0, 0, ())


@pytest.mark.parametrize(
    ("slots", "leaver", "left"),
    [(120, 0, (3, 0)), (120, 3, (3, 0)), (2, 2, (2, 1))],
    ids=["who runs", "who waits for the key's", "who waits for the organization's"],
)
async def test_whoever_leaves_returns_both_slots_and_the_next_one_has_them(
    slots: int, leaver: int, left: tuple[int, int]
) -> None:
    door = Door(slots=slots, queued=240)
    tasks = door.visits(4, OF_A_KEY)
    await door.until(min(3, slots), 4 - min(3, slots))
    door.contexts[leaver].lifeline.cut(Cut.CLIENT_GONE)
    with pytest.raises(asyncio.CancelledError):
        await tasks[leaver]
    await door.until(*left)
    assert door.taken("key:k1") == (3, 0)
    door.free.set()
    await asyncio.gather(*(task for task in tasks if task is not tasks[leaver]))
    assert door.store.counts() == (0, 0, 0, ())


async def test_a_failure_returns_the_keys_slot_too() -> None:
    door = Door(slots=120)
    door.failure = ZeroDivisionError()
    door.free.set()
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            await door.visit(principal=OF_A_KEY)
    assert door.store.counts() == (0, 0, 0, ())
