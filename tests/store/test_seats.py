"""Every store seats requests alike: so many at each backend, organizations by turns; each test runs on all stores."""

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from gateway.store.errors import NoPlaceError, NoSlotError, StoreUnavailableError
from gateway.store.protocol import GroupCounts
from tests.store.conftest import HandClock, counted
from tests.store.floor import CHAT, Floor
from tests.store.floor import floor as floor  # noqa: PLC0414 -- a fixture

pytestmark = pytest.mark.anyio


# Free seats


async def test_a_free_seat_is_had_without_waiting_where_the_fewest_are_taken(floor: Floor) -> None:
    floor.limit = 2
    seats = [await floor.seat() for _ in range(3)]
    assert [seat.backend for seat in seats] == ["chat0", "chat1", "chat0"]
    assert (await floor.seat(candidates=("chat1", "chat0"))).backend == "chat1"
    assert [seat.waited for seat in seats] == [0.0] * 3
    assert await floor.counts() == (GroupCounts(CHAT, 0, {"chat0": 2, "chat1": 2}),)


async def test_among_equals_the_first_candidate_is_taken(floor: Floor) -> None:
    assert (await floor.seat(candidates=("chat1", "chat0"))).backend == "chat1"


async def test_only_candidates_are_taken(floor: Floor) -> None:
    await floor.seat(candidates=["chat0"])
    with pytest.raises(NoSlotError):
        await floor.seat(candidates=["chat0"], patience=0.02)
    assert (await floor.seat()).backend == "chat1"


async def test_groups_are_strangers(floor: Floor) -> None:
    await floor.seat(candidates=["chat0"])
    other = await floor.store.seat("chat0", "a", candidates=lambda: ["chat0"], limit=1, max_queued=0, patience=0)
    assert sorted(await floor.counts()) == [GroupCounts("chat", 0, {"chat0": 1}), ("chat0", 0, {"chat0": 1})]
    floor.store.leave_seat(other)
    assert await floor.counts() == (GroupCounts("chat", 0, {"chat0": 1}),)


async def test_seats_are_no_slots(floor: Floor) -> None:
    await floor.seat()
    counts = floor.store.counts()
    assert (counts.in_flight, counts.queued, counts.tracked) == (0, 0, 0)


async def test_who_waits_for_a_slot_is_no_bucket(floor: Floor) -> None:
    held = await floor.store.acquire("a", limit=1, max_queued=1, patience=20.0)
    waiting = asyncio.create_task(floor.store.acquire("a", limit=1, max_queued=1, patience=20.0))
    async with asyncio.timeout(10):
        while (await counted(floor.store)).queued != 1:
            await checkpoint()
    assert floor.store.counts().tracked == 0
    floor.store.release(held)
    floor.store.release(await waiting)


async def test_a_group_that_nobody_uses_is_kept_nowhere(floor: Floor) -> None:
    seat = await floor.seat(candidates=["chat0"])
    waiting = await floor.queue("b", ["chat0"])
    waiting.cancel()
    await asyncio.wait([waiting])
    with pytest.raises(NoPlaceError):
        await floor.store.seat("empty", "a", candidates=lambda: ["chat0"], limit=0, max_queued=0, patience=0)
    floor.store.leave_seat(seat)
    assert await floor.counts() == ()


async def test_a_seat_is_left_once_however_often_it_is_given_back(floor: Floor) -> None:
    floor.limit = 2
    first, second = [await floor.seat(candidates=["chat0"]) for _ in range(2)]
    for _ in range(3):
        floor.store.leave_seat(first)
    assert await floor.taken() == {"chat0": 1}
    floor.store.leave_seat(second)
    assert await floor.taken() == {}


# The queue


async def test_a_full_queue_refuses_at_once(floor: Floor) -> None:
    held = await floor.seat(candidates=["chat0"])
    waiting = await floor.queue("a", ["chat0"])
    with pytest.raises(NoPlaceError):
        await floor.seat("b", ["chat0"], max_queued=1)
    assert (await floor.order(held, [waiting])) == [0]
    assert await floor.counts() == ()


async def test_a_wait_ends_with_its_patience_and_leaves_no_trace(floor: Floor) -> None:
    held = await floor.seat(candidates=["chat0"])
    with pytest.raises(NoSlotError):
        await floor.seat("b", ["chat0"], patience=0.02)
    assert (await floor.queued(), await floor.taken()) == (0, {"chat0": 1})
    floor.store.leave_seat(held)
    assert await floor.counts() == ()


async def test_who_waited_is_told_how_long(floor: Floor, clock: HandClock) -> None:
    held = await floor.seat(candidates=["chat0"])
    waiting = await floor.queue("b", ["chat0"])
    clock.now += 0.5
    floor.store.leave_seat(held)
    assert (await waiting).waited == 0.5


async def test_a_newcomer_does_not_overtake_who_was_just_called(floor: Floor) -> None:
    held = await floor.seat(candidates=["chat0"])
    waiting = await floor.queue("b", ["chat0"])
    floor.store.leave_seat(held)
    with pytest.raises(NoSlotError):
        await floor.seat("c", ["chat0"], patience=0.02)
    assert (await waiting).backend == "chat0"


async def test_a_cancelled_wait_gives_up_its_place(floor: Floor) -> None:
    held = await floor.seat(candidates=["chat0"])
    waiting, behind = await floor.queue("b", ["chat0"]), await floor.queue("b", ["chat0"])
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (await floor.queued(), await floor.taken()) == (1, {"chat0": 1})
    assert await floor.order(held, [behind]) == [0]


async def test_a_seat_given_to_one_who_is_leaving_goes_to_the_next(floor: Floor) -> None:
    held = await floor.seat(candidates=["chat0"])
    leaving, behind = await floor.queue("b", ["chat0"]), await floor.queue("c", ["chat0"])
    floor.store.leave_seat(held)  # the seat is handed over within this call,
    leaving.cancel()  # and its new owner is gone before it ever sees it
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    floor.store.leave_seat(await behind)
    assert await floor.counts() == ()


# Turns


async def test_organizations_take_turns_and_each_is_served_in_order(floor: Floor) -> None:
    held = await floor.seat("flood", ["chat0"])
    waiting = [await floor.queue(name, ["chat0"]) for name in ("flood", "flood", "flood", "calm", "calm", "late")]
    assert await floor.order(held, waiting) == [0, 3, 5, 1, 4, 2]


async def test_newcomers_without_end_keep_nobody_from_its_turn(floor: Floor) -> None:
    held = await floor.seat("a", ["chat0"])
    waiting = [await floor.queue(name, ["chat0"]) for name in ("a", "a", "new-0")]
    floor.store.leave_seat(held)
    held = await waiting.pop(0)
    waiting.append(await floor.queue("new-1", ["chat0"]))
    waiting.append(await floor.queue("new-2", ["chat0"]))
    assert await floor.order(held, waiting) == [1, 0, 2, 3]


async def test_who_comes_back_stands_behind_those_who_waited_on(floor: Floor) -> None:
    held = await floor.seat("a", ["chat0"])
    waiting = [await floor.queue(name, ["chat0"]) for name in ("quick", "patient", "patient")]
    floor.store.leave_seat(held)
    held = await waiting.pop(0)
    waiting.append(await floor.queue("quick", ["chat0"]))
    assert await floor.order(held, waiting) == [0, 2, 1]


async def test_one_who_cannot_use_a_seat_is_passed_by_and_loses_no_turn(floor: Floor) -> None:
    zero, one = await floor.seat("a", ["chat0"]), await floor.seat("a", ["chat1"])
    picky, later = await floor.queue("picky", ["chat0"]), await floor.queue("later")
    last = await floor.queue("last")
    floor.store.leave_seat(one)
    assert (await later).backend == "chat1"
    assert not picky.done()
    assert not last.done()
    floor.store.leave_seat(zero)
    assert (await picky).backend == "chat0"
    floor.store.leave_seat(await later)
    floor.store.leave_seat(await last)
    floor.store.leave_seat(await picky)
    assert await floor.counts() == ()


async def test_within_an_organization_a_later_request_may_use_what_the_first_cannot(floor: Floor) -> None:
    zero, one = await floor.seat("a", ["chat0"]), await floor.seat("a", ["chat1"])
    first, second = await floor.queue("b", ["chat0"]), await floor.queue("b", ["chat1"])
    floor.store.leave_seat(one)
    assert (await second).backend == "chat1"
    assert not first.done()
    floor.store.leave_seat(zero)
    assert (await first).backend == "chat0"


async def test_a_seat_that_nobody_who_waits_may_use_is_a_newcomers_at_once(floor: Floor) -> None:
    zero, one = await floor.seat("a", ["chat0"]), await floor.seat("a", ["chat1"])
    waiting = await floor.queue("b", ["chat0"])
    floor.store.leave_seat(one)
    assert not waiting.done()
    newcomer = await floor.seat("c", max_queued=0)
    assert (newcomer.backend, newcomer.waited) == ("chat1", 0.0)
    assert await floor.order(zero, [waiting]) == [0]


# Limits that change


async def test_a_raised_limit_lets_those_who_wait_go_first(floor: Floor) -> None:
    await floor.seat("a", ["chat0"])
    waiting = [await floor.queue("a", ["chat0"]), await floor.queue("b", ["chat0"])]
    floor.limit = 3
    newcomer = asyncio.create_task(floor.seat("c", ["chat0"]))
    await asyncio.gather(*waiting)
    await floor.until_queued(1)
    assert await floor.taken() == {"chat0": 3}
    floor.store.leave_seat(await waiting[0])
    await newcomer


async def test_a_lowered_limit_lets_nobody_start_above_it(floor: Floor) -> None:
    floor.limit = 3
    held = [await floor.seat("a", ["chat0"]) for _ in range(3)]
    floor.limit = 1
    waiting = await floor.queue("b", ["chat0"])
    floor.store.leave_seat(held[0])
    floor.store.leave_seat(held[1])
    assert (await floor.queued(), await floor.taken()) == (1, {"chat0": 1})
    assert await floor.order(held[2], [waiting]) == [0]


# The end


async def test_a_seat_left_after_the_close_does_nothing(floor: Floor, caplog: pytest.LogCaptureFixture) -> None:
    seat = await floor.seat()
    await floor.store.close()
    floor.store.leave_seat(seat)
    floor.store.leave_seat(seat)
    await checkpoint()
    assert caplog.records == []  # nor does it fail, then or in a later turn


async def test_closing_ends_the_wait_for_a_seat(floor: Floor) -> None:
    await floor.seat(candidates=["chat0"])
    waiting = await floor.queue("b", ["chat0"])
    await floor.store.close()
    with pytest.raises(StoreUnavailableError):
        await waiting
