"""Room at the backends: waited for within the one deadline, refused at once when too many wait, given back always."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from anyio.lowlevel import checkpoint

from gateway.backends.availability import Choice
from gateway.core.clock import SystemClock
from gateway.core.context import RequestContext
from gateway.core.fleet import BackendGroup
from gateway.payload.peek import Peek
from gateway.proxy.attempts import Attempt
from gateway.proxy.planner import Plan
from gateway.proxy.seats import SeatLimits
from gateway.proxy.unavailable import BusyError, DownError, NoBackendError, SeatsTakenError, UnreachableError
from gateway.routing.registry import Route
from gateway.store import waiters
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings
from gateway.upstream.errors import MayHaveRun, NeverSent
from tests.core.requests import context
from tests.proxy.fakes import BACKENDS, GROUP, Conductor, FakeReply, whole

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    memory = MemoryStore(StoreSettings(), SystemClock())
    await memory.open()
    yield memory
    await memory.close()


class House:
    """Backends with one seat each, and requests for them."""

    def __init__(
        self,
        store: MemoryStore,
        *,
        patience: float = 5.0,
        max_queued: int = 10,
        backends: int = 1,
        **script: list[FakeReply | Exception],
    ) -> None:
        self.store = store
        self.plan = Plan(Route(replace(GROUP, backends=BACKENDS[:backends]), "qwen"), b"{}", Peek())
        limits = SeatLimits(1, max_queued, patience)
        self.conductor = Conductor(script, store=store, limits=limits)
        self.conductor.availability.choices["chat"] = Choice(BACKENDS[:backends])

    def request(self, organization: str = "a", queue_wait: float | None = None) -> RequestContext:
        return context(group="chat", organization=organization, queue_wait=queue_wait)

    async def open(self, ctx: RequestContext | None = None) -> Attempt:
        return await self.conductor.dispatcher.open(ctx or self.request(), self.plan)

    async def wait(self, organization: str = "b") -> "asyncio.Task[Attempt]":
        """A request that waits for a seat by now."""
        waiting = asyncio.create_task(self.open(self.request(organization)))
        for _ in range(5):
            await checkpoint()
        assert not waiting.done()
        return waiting

    def usable(self, *backends: int) -> None:
        """Only these may be asked from now on."""
        usable = tuple(BACKENDS[index] for index in backends)
        self.conductor.availability.choices["chat"] = Choice(usable) if usable else Choice((), None, 7.0, "down")

    def close(self, attempt: Attempt) -> None:
        self.conductor.attempts.close(attempt)

    @property
    def taken(self) -> dict[str, int]:
        return next((dict(counts.taken) for counts in self.store.seat_counts()), {})


async def test_a_seat_is_held_from_before_the_request_until_the_answers_end(store: MemoryStore) -> None:
    house = House(store, chat0=[whole(b"{}")])
    attempt = await house.open()
    assert house.taken == {"chat0": 1}
    house.close(attempt)
    assert house.taken == {}


async def test_who_finds_no_seat_waits_and_its_wait_is_part_of_its_queue_wait(store: MemoryStore) -> None:
    house = House(store, chat0=[whole(b"{}"), whole(b"{}")])
    first = await house.open()
    ctx = house.request(queue_wait=1.0)
    waiting = asyncio.create_task(house.open(ctx))
    for _ in range(5):
        await checkpoint()
    assert not waiting.done()
    assert len(house.conductor.client.asked) == 1
    house.close(first)
    house.close(await waiting)
    assert ctx.queue_wait is not None
    assert ctx.queue_wait > 1.0


async def test_who_waits_for_a_seat_is_counted_until_it_has_one_or_gives_up(store: MemoryStore) -> None:
    house = House(store, max_queued=2, chat0=[whole(b"{}"), whole(b"{}")])
    waiting = house.conductor.waiting
    first = await house.open()
    assert waiting == {"chat": 0}
    tasks = [asyncio.create_task(house.open(house.request(name))) for name in "ab"]
    for _ in range(5):
        await checkpoint()
    assert waiting == {"chat": 2}
    with pytest.raises(SeatsTakenError):
        await house.open(house.request("c"))
    assert waiting == {"chat": 2}
    tasks[1].cancel()
    await asyncio.wait(tasks[1:])
    assert waiting == {"chat": 1}
    house.close(first)
    house.close(await tasks[0])
    assert waiting == {"chat": 0}


async def test_the_one_deadline_is_shared_with_the_wait_for_a_slot(store: MemoryStore) -> None:
    house = House(store, patience=600.0, chat0=[whole(b"{}")])
    await house.open()
    with pytest.raises(SeatsTakenError, match="within 600 s") as refused:
        async with asyncio.timeout(10):
            await house.open(house.request(queue_wait=600.0))  # nothing is left of it: it does not wait
    assert refused.value.status == 503
    assert refused.value.retry_after is not None


async def test_a_full_queue_is_told_at_once_and_when_to_come_back(store: MemoryStore) -> None:
    house = House(store, max_queued=1, chat0=[whole(b"{}"), whole(b"{}"), whole(b"{}")])
    first = await house.open()
    house.conductor.time.advance(40)
    house.close(first)  # so long is a seat held here
    await house.open()
    waiting = asyncio.create_task(house.open(house.request("b")))
    for _ in range(5):
        await checkpoint()
    with pytest.raises(SeatsTakenError, match="waiting already") as refused:
        await house.open(house.request("c"))
    assert isinstance(refused.value, NoBackendError)
    assert refused.value.retry_after == 80.0  # for the one who waits and for itself; 60 is the most that is said
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_the_queue_has_room_for_each_backend_of_the_group_however_few_may_be_asked(store: MemoryStore) -> None:
    house = House(store, backends=2, max_queued=1, chat0=[whole(b"{}")] * 3)
    house.usable(0)
    first = await house.open()
    waiting = [await house.wait("b"), await house.wait("c")]
    with pytest.raises(SeatsTakenError, match="waiting already"):
        await house.open(house.request("d"))
    house.close(first)
    for done in asyncio.as_completed(waiting):
        house.close(await done)


async def test_the_emptier_replica_is_taken_whatever_the_policy_says(store: MemoryStore) -> None:
    house = House(store, backends=2, chat0=[whole(b"{}")], chat1=[whole(b"{}")])
    await house.open()
    attempt = await house.open()
    assert (attempt.backend.name, house.taken) == ("chat1", {"chat0": 1, "chat1": 1})


async def test_a_backend_that_is_not_reached_gives_its_seat_back_before_another_is_asked(store: MemoryStore) -> None:
    house = House(store, backends=2, chat0=[NeverSent("refused")], chat1=[whole(b"{}")])
    attempt = await house.open()
    assert (house.conductor.client.order, house.taken) == (["chat0", "chat1"], {"chat1": 1})
    house.close(attempt)
    assert house.taken == {}


@pytest.mark.parametrize("failure", [MayHaveRun("reset"), NeverSent("refused"), ValueError("ours")])
async def test_whatever_is_raised_no_seat_is_left(store: MemoryStore, failure: Exception) -> None:
    house = House(store, chat0=[failure])
    with pytest.raises((MayHaveRun, UnreachableError, ValueError)):
        await house.open()
    assert house.taken == {}
    assert house.conductor.idle


async def test_a_client_that_leaves_while_it_waits_holds_nothing(store: MemoryStore) -> None:
    house = House(store, chat0=[whole(b"{}"), whole(b"{}")])
    first = await house.open()
    waiting = asyncio.create_task(house.open(house.request("b")))
    for _ in range(5):
        await checkpoint()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    house.close(first)
    assert house.taken == {}
    assert house.conductor.idle


async def test_who_was_never_probed_has_a_seat_for_those_alone_whom_all_others_refused(store: MemoryStore) -> None:
    house = House(store, backends=3, chat0=[whole(b"{}")], chat1=[whole(b"{}", 503)], chat2=[whole(b"{}", 503)])
    house.conductor.budget._tokens = 10.0
    house.conductor.availability.choices["chat"] = Choice(BACKENDS[1:], reserve=BACKENDS[:1])
    attempt = await house.open()
    assert house.conductor.client.order == ["chat1", "chat2", "chat0"]
    assert house.taken == {"chat0": 1}
    house.close(attempt)


async def test_a_trial_waits_for_no_seat(store: MemoryStore) -> None:
    house = House(store, backends=2, chat0=[whole(b"{}")], chat1=[whole(b"{}")])
    await store.seat("chat", "other", candidates=lambda: ["chat0"], limit=1, max_queued=0, patience=0)
    house.conductor.availability.choices["chat"] = Choice(BACKENDS[1:2], trial=BACKENDS[0])
    attempt = await house.open()
    assert (attempt.backend.name, attempt.trial) == ("chat1", 0)
    assert house.conductor.breaker.trial_taken is False


async def test_a_trial_that_another_has_leaves_the_seat_that_was_taken_for_it(store: MemoryStore) -> None:
    house = House(store, backends=2, chat1=[whole(b"{}")])
    house.conductor.availability.choices["chat"] = Choice(BACKENDS[1:2], trial=BACKENDS[0])
    house.conductor.breaker.trial_taken = True
    await house.open()
    assert house.taken == {"chat1": 1}


async def test_a_trial_holds_a_seat_as_any_request_does(store: MemoryStore) -> None:
    house = House(store, chat0=[whole(b"{}")])
    house.conductor.availability.choices["chat"] = Choice(BACKENDS[1:2], trial=BACKENDS[0])
    attempt = await house.open()
    assert (bool(attempt.trial), house.taken) == (True, {"chat0": 1})
    house.close(attempt)
    assert house.conductor.breaker.told == ["chat0 succeeded on trial"]
    assert house.taken == {}


async def test_a_seat_at_a_backend_that_is_not_asked_any_more_is_left_to_wait_for_another(store: MemoryStore) -> None:
    house = House(store, backends=2, chat0=[whole(b"{}")], chat1=[whole(b"{}"), whole(b"{}")])
    first, second = await house.open(), await house.open()
    waiting = await house.wait()
    house.usable(1)
    house.close(first)
    for _ in range(5):
        await checkpoint()
    assert (waiting.done(), house.taken) == (False, {"chat1": 1})
    house.close(second)
    third = await waiting
    assert (third.backend.name, house.conductor.client.order) == ("chat1", ["chat0", "chat1", "chat1"])
    house.close(third)
    assert house.taken == {}


async def test_who_leaves_such_a_seat_finds_a_place_though_fewer_may_be_asked(store: MemoryStore) -> None:
    house = House(store, backends=2, max_queued=1, chat0=[whole(b"{}")], chat1=[whole(b"{}")] * 3)
    first, second = await house.open(), await house.open()
    waiting = [await house.wait("b"), await house.wait("c")]
    house.usable(1)
    house.close(first)
    for _ in range(20):
        await checkpoint()
    house.close(second)
    for done in asyncio.as_completed(waiting):
        house.close(await done)
    assert house.conductor.client.order == ["chat0", "chat1", "chat1", "chat1"]


async def test_who_leaves_such_a_seat_may_go_where_a_replica_has_come_back(store: MemoryStore) -> None:
    house = House(store, backends=2, chat0=[whole(b"{}")], chat1=[whole(b"{}")])
    house.usable(0)
    first = await house.open()
    waiting = await house.wait()
    house.usable(1)
    house.close(first)
    house.close(await waiting)
    assert house.conductor.client.order == ["chat0", "chat1"]


async def test_when_nobody_is_left_after_a_wait_it_is_said_why_and_nobody_is_asked(store: MemoryStore) -> None:
    house = House(store, chat0=[whole(b"{}")])
    first = await house.open()
    waiting = await house.wait()
    house.usable()
    house.close(first)
    with pytest.raises(DownError, match="down") as refused:
        await waiting
    assert refused.value.retry_after == 7.0
    assert (house.conductor.client.order, house.taken) == (["chat0"], {})


async def test_a_search_ends_though_backends_come_and_go_at_every_look(store: MemoryStore) -> None:
    house = House(store, backends=2, chat0=[NeverSent("refused")], chat1=[NeverSent("refused")])
    looks = 0

    def of(group: BackendGroup) -> Choice:
        nonlocal looks
        looks += 1
        return Choice(group.backends[looks % 2 : looks % 2 + 1])

    house.conductor.dispatcher._choose = house.conductor.searcher._choose = of
    with pytest.raises(UnreachableError):
        await house.open()
    asked = house.conductor.client.order
    assert len(asked) == len(set(asked))
    assert house.taken == {}


async def test_who_waits_goes_to_a_replica_that_has_come_back(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "LOOK_SECS", 0.01)
    house = House(store, backends=2, chat0=[whole(b"{}")], chat1=[whole(b"{}")])
    house.usable(0)
    first = await house.open()
    waiting = await house.wait()
    house.usable(0, 1)
    async with asyncio.timeout(10):
        house.close(await waiting)
    assert house.conductor.client.order == ["chat0", "chat1"]
    house.close(first)
    assert house.taken == {}


async def test_the_seat_of_one_that_said_that_it_is_full_is_not_taken_for_being_empty(store: MemoryStore) -> None:
    house = House(store, backends=2, chat0=[whole(b"{}", 503)], chat1=[whole(b"{}")])
    first = await house.open()
    waiting = await house.wait()
    assert (house.conductor.client.order, house.taken) == (["chat0", "chat1"], {"chat1": 1})
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    house.close(first)


async def test_one_that_stands_aside_is_asked_all_the_same_when_the_others_are_not_reached(store: MemoryStore) -> None:
    house = House(
        store, backends=2, chat0=[whole(b"{}", 503), whole(b"{}")], chat1=[whole(b"{}"), NeverSent("refused")]
    )
    first = await house.open()
    waiting = await house.wait()
    house.close(first)
    house.close(await waiting)
    assert house.conductor.client.order == ["chat0", "chat1", "chat1", "chat0"]


async def test_who_waited_before_it_said_so_leaves_it_its_seat_too(store: MemoryStore) -> None:
    full = whole(b"{}", 503)
    house = House(store, backends=2, chat0=[whole(b"{}"), full], chat1=[whole(b"{}")] * 3)
    first, second = await house.open(), await house.open()
    waiting = [await house.wait("b"), await house.wait("c")]
    house.close(first)
    for _ in range(20):
        await checkpoint()
    assert house.conductor.client.order == ["chat0", "chat1", "chat0"]
    house.close(second)
    for done in asyncio.as_completed(waiting):
        house.close(await done)
    assert house.conductor.client.order == ["chat0", "chat1", "chat0", "chat1", "chat1"]


async def test_those_that_are_full_are_asked_where_there_are_no_others(store: MemoryStore) -> None:
    house = House(store, chat0=[whole(b"{}", 503), whole(b"{}")])
    with pytest.raises(BusyError):
        await house.open()
    house.close(await house.open())
