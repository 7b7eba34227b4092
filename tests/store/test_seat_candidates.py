"""Who waits for a seat may come to want others, and loses no turn; each test runs on all stores."""

import asyncio
from collections.abc import Callable

import pytest
from anyio.lowlevel import checkpoint

from gateway.store import waiters
from gateway.store.errors import NoSlotError
from tests.store.floor import BOTH, CHAT, Floor
from tests.store.floor import floor as floor  # noqa: PLC0414 -- a fixture

pytestmark = pytest.mark.anyio


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await checkpoint()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits looks all the time."""
    monkeypatch.setattr(waiters, "LOOK_SECS", 0.01)


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits looks when it is given a seat, and not by itself."""
    monkeypatch.setattr(waiters, "LOOK_SECS", 3600.0)


@pytest.mark.usefixtures("often")
async def test_who_waits_sees_that_another_backend_may_be_asked(floor: Floor) -> None:
    held, usable = await floor.seat(candidates=["chat0"]), ["chat0"]
    waiting = await floor.queue("b", usable)
    usable.append("chat1")
    async with asyncio.timeout(10):
        seat = await waiting
    assert (seat.backend, await floor.queued(), await floor.taken()) == ("chat1", 0, {"chat0": 1, "chat1": 1})
    floor.store.leave_seat(seat)
    floor.store.leave_seat(held)
    assert await floor.counts() == ()


@pytest.mark.usefixtures("often")
async def test_other_candidates_cost_no_place(floor: Floor) -> None:
    zero, one = await floor.seat("a", ["chat0"]), await floor.seat("a", ["chat1"])
    usable, looks = ["chat0"], 0

    def look() -> list[str]:
        nonlocal looks
        looks += 1
        return usable

    first = asyncio.create_task(floor.store.seat(CHAT, "b", candidates=look, limit=1, max_queued=1000, patience=20.0))
    await floor.until_queued(1)
    waiting = [first, await floor.queue("b", ["chat1"]), await floor.queue("c", ["chat1"])]
    usable, looks = ["chat1"], 0
    await until(lambda: looks > 0)
    assert await floor.order(one, waiting) == [0, 2, 1]
    floor.store.leave_seat(zero)
    assert await floor.counts() == ()


@pytest.mark.usefixtures("often")
async def test_a_wait_without_any_candidate_left_ends_at_once(floor: Floor) -> None:
    held, usable = await floor.seat(candidates=["chat0"]), ["chat0"]
    waiting = await floor.queue("b", usable)
    usable.clear()
    with pytest.raises(NoSlotError):
        await waiting
    floor.store.leave_seat(held)
    assert await floor.counts() == ()


@pytest.mark.usefixtures("seldom")
async def test_a_seat_that_is_of_no_use_any_more_goes_to_the_next_and_costs_no_turn(floor: Floor) -> None:
    zero, one, usable = await floor.seat("a", ["chat0"]), await floor.seat("a", ["chat1"]), [*BOTH]
    waiting = [await floor.queue(name, each) for name, each in (("b", usable), ("c", BOTH), ("d", BOTH), ("b", BOTH))]
    usable.remove("chat0")
    floor.store.leave_seat(zero)
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert done == {waiting[3]}, "its organization is still the first, and this one can use it"
    assert (await floor.queued(), await floor.taken()) == (3, {"chat0": 1, "chat1": 1})
    floor.store.leave_seat(await waiting.pop())
    zero = await waiting.pop(1)
    assert await floor.order(one, waiting) == [1, 0]
    floor.store.leave_seat(zero)
    assert await floor.counts() == ()


@pytest.mark.usefixtures("seldom")
async def test_who_declines_a_seat_is_still_the_first_of_those_who_wait(floor: Floor) -> None:
    zero, one, usable = await floor.seat("a", ["chat0"]), await floor.seat("a", ["chat1"]), [*BOTH]
    waiting = [await floor.queue(name, each) for name, each in (("b", usable), ("c", BOTH), ("d", BOTH))]
    usable.remove("chat0")
    floor.store.leave_seat(zero)
    zero = await waiting.pop(1)
    assert await floor.order(one, waiting) == [0, 1]
    floor.store.leave_seat(zero)
    assert await floor.counts() == ()


@pytest.mark.usefixtures("seldom")
async def test_who_declines_while_nobody_else_waits_keeps_its_place_before_newcomers(floor: Floor) -> None:
    zero, one, usable = await floor.seat("a", ["chat0"]), await floor.seat("a", ["chat1"]), [*BOTH]
    waiting = [await floor.queue("b", usable)]
    usable.remove("chat0")
    floor.store.leave_seat(zero)
    zero = await floor.seat("c", ["chat0"])
    waiting.append(await floor.queue("d", BOTH))
    assert await floor.order(one, waiting) == [0, 1]
    floor.store.leave_seat(zero)
    assert await floor.counts() == ()


@pytest.mark.usefixtures("seldom")
async def test_a_seat_that_was_declined_and_one_that_is_had_instead_are_one(floor: Floor) -> None:
    zero, one, usable = await floor.seat("a", ["chat0"]), await floor.seat("a", ["chat1"]), ["chat0"]
    waiting = await floor.queue("b", usable)
    usable[:] = ["chat1"]
    floor.store.leave_seat(one)
    assert not waiting.done()
    floor.store.leave_seat(zero)
    seat = await waiting
    assert (seat.backend, await floor.taken()) == ("chat1", {"chat1": 1})
    floor.store.leave_seat(seat)
    assert await floor.counts() == ()


@pytest.mark.usefixtures("seldom")
async def test_who_declines_knows_the_newest_limit(floor: Floor) -> None:
    zero, usable = await floor.seat("a", ["chat0"]), ["chat0"]
    waiting = await floor.queue("b", usable)
    floor.store.leave_seat(zero)
    floor.limit = 2
    usable[:] = ["chat1"]
    one = await floor.seat("c", ["chat1"])
    async with asyncio.timeout(10):
        seat = await waiting
    assert (seat.backend, await floor.taken()) == ("chat1", {"chat1": 2})
    floor.store.leave_seat(seat)
    floor.store.leave_seat(one)
    assert await floor.counts() == ()
