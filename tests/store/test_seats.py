"""Every store seats requests alike: so many at each backend, organizations by turns; each test runs on all stores."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from anyio.lowlevel import checkpoint

from gateway.store.errors import NoPlaceError, NoSlotError
from gateway.store.protocol import GroupCounts, LimiterStore, Seat
from tests.store.conftest import HandClock

pytestmark = pytest.mark.anyio

CHAT = "chat"
BOTH = ("chat0", "chat1")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await checkpoint()


@dataclass
class Floor:
    """One group of a store, as these tests ask for it."""

    store: LimiterStore
    limit: int = 1

    async def seat(
        self,
        organization: str = "a",
        candidates: Sequence[str] = BOTH,
        *,
        max_queued: int = 1000,
        patience: float = 20.0,
    ) -> Seat:
        return await self.store.seat(
            CHAT, organization, candidates=candidates, limit=self.limit, max_queued=max_queued, patience=patience
        )

    async def queue(self, organization: str, candidates: Sequence[str] = BOTH) -> "asyncio.Task[Seat]":
        """A task that is known to wait."""
        before = self.queued
        task = asyncio.create_task(self.seat(organization, candidates))
        await until(lambda: self.queued == before + 1)
        return task

    @property
    def queued(self) -> int:
        return sum(group.queued for group in self.store.seat_counts())

    @property
    def taken(self) -> dict[str, int]:
        return {backend: taken for group in self.store.seat_counts() for backend, taken in group.taken.items()}

    async def order(self, seat: Seat, waiting: Sequence["asyncio.Task[Seat]"]) -> list[int]:
        """Leave the seat, and then each that is given, until nobody waits: whose seat each was, by its place."""
        left, order = list(waiting), list[int]()
        while left:
            self.store.leave_seat(seat)
            done, _ = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            (next_one,) = done
            left.remove(next_one)
            order.append(waiting.index(next_one))
            seat = next_one.result()
        self.store.leave_seat(seat)
        return order


@pytest.fixture
def floor(store: LimiterStore) -> Floor:
    return Floor(store)


# Free seats


async def test_a_free_seat_is_had_without_waiting_where_the_fewest_are_taken(floor: Floor) -> None:
    floor.limit = 2
    seats = [await floor.seat() for _ in range(3)]
    assert [seat.backend for seat in seats] == ["chat0", "chat1", "chat0"]
    assert (await floor.seat(candidates=("chat1", "chat0"))).backend == "chat1"
    assert [seat.waited for seat in seats] == [0.0] * 3
    assert floor.store.seat_counts() == (GroupCounts(CHAT, 0, {"chat0": 2, "chat1": 2}),)


async def test_among_equals_the_first_candidate_is_taken(floor: Floor) -> None:
    assert (await floor.seat(candidates=("chat1", "chat0"))).backend == "chat1"


async def test_only_candidates_are_taken(floor: Floor) -> None:
    await floor.seat(candidates=["chat0"])
    with pytest.raises(NoSlotError):
        await floor.seat(candidates=["chat0"], patience=0.02)
    assert (await floor.seat()).backend == "chat1"


async def test_groups_are_strangers(floor: Floor) -> None:
    await floor.seat(candidates=["chat0"])
    other = await floor.store.seat("chat0", "a", candidates=["chat0"], limit=1, max_queued=0, patience=0)
    assert sorted(floor.store.seat_counts()) == [GroupCounts("chat", 0, {"chat0": 1}), ("chat0", 0, {"chat0": 1})]
    floor.store.leave_seat(other)
    assert floor.store.seat_counts() == (GroupCounts("chat", 0, {"chat0": 1}),)


async def test_seats_are_no_slots(floor: Floor) -> None:
    await floor.seat()
    counts = floor.store.counts()
    assert (counts.in_flight, counts.queued, counts.tracked) == (0, 0, 0)


async def test_a_group_that_nobody_uses_is_kept_nowhere(floor: Floor) -> None:
    seat = await floor.seat(candidates=["chat0"])
    waiting = await floor.queue("b", ["chat0"])
    waiting.cancel()
    await asyncio.wait([waiting])
    with pytest.raises(NoPlaceError):
        await floor.store.seat("empty", "a", candidates=["chat0"], limit=0, max_queued=0, patience=0)
    floor.store.leave_seat(seat)
    assert floor.store.seat_counts() == ()


async def test_a_seat_is_left_once_however_often_it_is_given_back(floor: Floor) -> None:
    floor.limit = 2
    first, second = [await floor.seat(candidates=["chat0"]) for _ in range(2)]
    for _ in range(3):
        floor.store.leave_seat(first)
    assert floor.taken == {"chat0": 1}
    floor.store.leave_seat(second)
    assert floor.taken == {}


# The queue


async def test_a_full_queue_refuses_at_once(floor: Floor) -> None:
    held = await floor.seat(candidates=["chat0"])
    waiting = await floor.queue("a", ["chat0"])
    with pytest.raises(NoPlaceError):
        await floor.seat("b", ["chat0"], max_queued=1)
    assert (await floor.order(held, [waiting])) == [0]
    assert floor.store.seat_counts() == ()


async def test_a_wait_ends_with_its_patience_and_leaves_no_trace(floor: Floor) -> None:
    held = await floor.seat(candidates=["chat0"])
    with pytest.raises(NoSlotError):
        await floor.seat("b", ["chat0"], patience=0.02)
    assert (floor.queued, floor.taken) == (0, {"chat0": 1})
    floor.store.leave_seat(held)
    assert floor.store.seat_counts() == ()


async def test_who_waited_is_told_how_long(floor: Floor, clock: HandClock) -> None:
    held = await floor.seat(candidates=["chat0"])
    waiting = await floor.queue("b", ["chat0"])
    clock.now += 0.5
    floor.store.leave_seat(held)
    assert (await waiting).waited == 0.5
