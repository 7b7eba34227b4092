"""Every store keeps the same promises; each test here runs on all of them."""

import asyncio
import random

import pytest
from anyio.lowlevel import checkpoint

from gateway.store.errors import NoPlaceError, NoSlotError, StoreUnavailableError
from gateway.store.protocol import Bucket, Grant, KeyCounts, LimiterStore
from gateway.store.settings import StoreSettings
from tests.store.conftest import HandClock, counted

pytestmark = pytest.mark.anyio

ORGANIZATION = "203.0.113.7"
PATIENCE = 20.0


async def until_figures(store: LimiterStore, *expected: int) -> None:
    async with asyncio.timeout(10):
        while await figures(store) != expected:
            await checkpoint()


async def acquire(store: LimiterStore, limit: int = 1, *, max_queued: int = 1000, patience: float = PATIENCE) -> Grant:
    return await store.acquire(ORGANIZATION, limit=limit, max_queued=max_queued, patience=patience)


async def queue(store: LimiterStore, limit: int = 1) -> "asyncio.Task[Grant]":
    """A task that waits for a slot and is known to stand in the queue."""
    running, before = await figures(store)
    task = asyncio.create_task(acquire(store, limit))
    await until_figures(store, running, before + 1)
    return task


async def figures(store: LimiterStore) -> tuple[int, int]:
    counts = await counted(store)
    return counts.in_flight, counts.queued


# Buckets


async def test_a_full_bucket_grants_its_capacity_and_not_one_more(store: LimiterStore) -> None:
    bucket = Bucket(rate=50, capacity=100)
    granted = [(await store.take(ORGANIZATION, bucket)).granted for _ in range(150)]
    assert granted == [True] * 100 + [False] * 50


async def test_a_bucket_refills_continuously(store: LimiterStore, clock: HandClock) -> None:
    bucket = Bucket(rate=50, capacity=100)
    await store.take(ORGANIZATION, bucket, cost=100)
    clock.now += 0.019
    assert not (await store.take(ORGANIZATION, bucket)).granted
    clock.now += 0.001
    assert (await store.take(ORGANIZATION, bucket)).granted
    assert not (await store.take(ORGANIZATION, bucket)).granted


async def test_a_bucket_never_holds_more_than_its_capacity(store: LimiterStore, clock: HandClock) -> None:
    bucket = Bucket(rate=50, capacity=100)
    await store.take(ORGANIZATION, bucket)
    clock.now += 3600
    assert (await store.take(ORGANIZATION, bucket)).remaining == 99


async def test_a_bucket_states_when_to_come_back(store: LimiterStore) -> None:
    bucket = Bucket(rate=50, capacity=100)
    await store.take(ORGANIZATION, bucket, cost=100)
    state = await store.take(ORGANIZATION, bucket)
    assert not state.granted
    assert state.remaining == pytest.approx(0, abs=1e-4)
    assert state.retry_after == pytest.approx(0.02, abs=1e-4)
    assert state.reset_after == pytest.approx(2.0, abs=1e-4)


async def test_a_cost_of_nothing_only_looks(store: LimiterStore) -> None:
    bucket = Bucket(rate=1, capacity=2)
    assert (await store.take(ORGANIZATION, bucket, cost=0)).remaining == 2
    assert (await counted(store)).tracked == 0
    await store.take(ORGANIZATION, bucket, cost=2)
    state = await store.take(ORGANIZATION, bucket, cost=0)
    assert state.retry_after == pytest.approx(1.0, abs=1e-4)


async def test_buckets_of_different_keys_are_strangers(store: LimiterStore) -> None:
    bucket = Bucket(rate=1, capacity=1)
    long = "x" * 500
    for key in ("a", "aa", "a\0", long + "1", long + "2", "\udcff", ""):
        assert (await store.take(key, bucket)).granted, key
        assert not (await store.take(key, bucket)).granted, key


async def test_a_jump_of_the_wall_clock_changes_no_limit(store: LimiterStore, clock: HandClock) -> None:
    bucket = Bucket(rate=50, capacity=100)
    await store.take(ORGANIZATION, bucket, cost=100)
    for jump in (3600, -7200):
        clock.wall_now += jump
        assert not (await store.take(ORGANIZATION, bucket)).granted


# Slots


async def test_a_free_slot_is_granted_without_waiting(store: LimiterStore) -> None:
    grant = await acquire(store)
    assert grant.waited == 0.0
    assert await figures(store) == (1, 0)
    store.release(grant)
    assert await figures(store) == (0, 0)


async def test_the_limit_counts_for_each_key_alone(store: LimiterStore) -> None:
    await acquire(store)
    other = await store.acquire("other", limit=1, max_queued=0, patience=0)
    assert other.waited == 0.0
    assert (await counted(store)).busiest == (KeyCounts(ORGANIZATION, 1, 0), KeyCounts("other", 1, 0))


async def test_a_full_queue_refuses_at_once(store: LimiterStore) -> None:
    held = await acquire(store)
    waiting = await queue(store)
    with pytest.raises(NoPlaceError):
        await acquire(store, max_queued=1)
    assert await figures(store) == (1, 1)
    store.release(held)
    store.release(await waiting)
    assert await figures(store) == (0, 0)


async def test_a_wait_ends_with_its_patience_and_leaves_no_trace(store: LimiterStore) -> None:
    held = await acquire(store)
    with pytest.raises(NoSlotError):
        await acquire(store, patience=0.02)
    assert await figures(store) == (1, 0)
    store.release(held)
    assert await figures(store) == (0, 0)


async def test_who_waits_is_served_in_order(store: LimiterStore) -> None:
    held = await acquire(store)
    served: list[int] = []

    async def wait(number: int) -> None:
        grant = await acquire(store)
        served.append(number)
        store.release(grant)

    tasks = []
    for number in range(20):
        tasks.append(asyncio.create_task(wait(number)))
        await until_figures(store, 1, number + 1)
    store.release(held)
    await asyncio.gather(*tasks)
    assert served == list(range(20))
    assert await figures(store) == (0, 0)


async def test_a_newcomer_does_not_overtake_who_was_just_called(store: LimiterStore, clock: HandClock) -> None:
    held = await acquire(store)
    first, second = await queue(store), await queue(store)
    clock.now += 0.5
    store.release(held)
    with pytest.raises(NoSlotError):
        await acquire(store, patience=0.02)
    grant = await first
    assert grant.waited == 0.5
    assert not second.done()
    store.release(grant)
    store.release(await second)


async def test_a_slot_is_released_once_however_often_it_is_given_back(store: LimiterStore) -> None:
    first, second = await acquire(store, 2), await acquire(store, 2)
    for _ in range(3):
        store.release(first)
    assert await figures(store) == (1, 0)
    store.release(second)
    assert await figures(store) == (0, 0)


async def test_a_cancelled_wait_gives_up_its_place(store: LimiterStore) -> None:
    held = await acquire(store)
    waiting, behind = await queue(store), await queue(store)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await figures(store) == (1, 1)
    store.release(held)
    store.release(await behind)
    assert await figures(store) == (0, 0)


async def test_a_slot_granted_to_one_who_is_leaving_goes_to_the_next(store: LimiterStore) -> None:
    held = await acquire(store)
    leaving, behind = await queue(store), await queue(store)
    store.release(held)  # the slot is handed over within this call,
    leaving.cancel()  # and its new owner is gone before it ever sees it
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    store.release(await behind)
    assert await figures(store) == (0, 0)


async def test_a_raised_limit_lets_those_who_wait_go_first(store: LimiterStore) -> None:
    await acquire(store, 1)
    first, second = await queue(store), await queue(store)
    newcomer = asyncio.create_task(acquire(store, 3))
    await asyncio.gather(first, second)
    await until_figures(store, 3, 1)
    store.release(await first)
    await newcomer
    assert await figures(store) == (3, 0)


async def test_a_lowered_limit_lets_nobody_start_above_it(store: LimiterStore) -> None:
    held = [await acquire(store, 3) for _ in range(3)]
    waiting = await queue(store, 1)
    store.release(held[0])
    store.release(held[1])
    assert await figures(store) == (1, 1)
    store.release(held[2])
    store.release(await waiting)
    assert await figures(store) == (0, 0)


async def test_ten_thousand_cancellations_leave_nothing_behind(store: LimiterStore) -> None:
    chance = random.Random(7)  # noqa: S311 -- a test's dice, the same in every run
    loop = asyncio.get_running_loop()
    all_three = asyncio.Barrier(3)
    running = most = 0

    async def visit(*, stays: bool) -> None:
        nonlocal running, most
        grant = await acquire(store, 3, patience=PATIENCE if stays else chance.choice((PATIENCE, 0.001)))
        running += 1
        most = max(most, running)
        try:
            if stays:
                await all_three.wait()
            else:
                for _ in range(chance.randrange(20)):
                    await checkpoint()
        finally:
            running -= 1
            store.release(grant)

    for _ in range(100):
        leaving = [asyncio.create_task(visit(stays=False)) for _ in range(50)]
        staying = [asyncio.create_task(visit(stays=True)) for _ in range(3)]
        leaving += [asyncio.create_task(visit(stays=False)) for _ in range(50)]
        for task in leaving:
            loop.call_later(chance.uniform(0, 0.02), task.cancel)
        await asyncio.gather(*staying)
        await asyncio.wait(leaving)
        for task in leaving:
            assert task.cancelled() or task.exception() is None or isinstance(task.exception(), NoSlotError)
    assert most == 3
    assert await figures(store) == (0, 0)
    waiters = getattr(store, "_desk", store)._waiters  # type: ignore[union-attr]  # both have them, out of sight
    assert len(waiters) == 0


# Turns


async def test_turns_count_up_for_each_name_alone(store: LimiterStore) -> None:
    assert [await store.next_turn("qwen") for _ in range(3)] == [0, 1, 2]
    assert await store.next_turn("other") == 0


# Memory


async def test_idle_organizations_are_bounded_in_number(store: LimiterStore, settings: StoreSettings) -> None:
    bucket = Bucket(rate=50, capacity=100)
    for number in range(5000):
        assert (await store.take(f"made-up-{number}", bucket)).granted
    assert (await counted(store)).tracked <= settings.max_tracked_organizations


async def test_a_drained_bucket_is_not_had_again_by_flooding(store: LimiterStore, clock: HandClock) -> None:
    bucket = Bucket(rate=0.001, capacity=100)
    await store.take(ORGANIZATION, bucket, cost=100)
    for number in range(5000):
        clock.now += 0.001
        await store.take(f"made-up-{number}", bucket)
    assert not (await store.take(ORGANIZATION, bucket)).granted


async def test_whoever_holds_a_slot_is_never_forgotten(store: LimiterStore) -> None:
    bucket = Bucket(rate=0.001, capacity=100)
    grant = await acquire(store)
    await store.take(ORGANIZATION, bucket)  # misses the least of all: the first to be forgotten, but for its slot
    for number in range(3000):
        await store.take(f"made-up-{number}", bucket, cost=50)
    assert await figures(store) == (1, 0)
    assert (await store.take(ORGANIZATION, bucket, cost=0)).remaining == pytest.approx(99)
    store.release(grant)


# The end


async def test_a_grant_released_after_the_close_does_nothing(
    store: LimiterStore, caplog: pytest.LogCaptureFixture
) -> None:
    grant = await acquire(store)
    await store.close()
    store.release(grant)
    store.release(grant)
    await checkpoint()
    assert caplog.records == []  # nor does it fail, then or in a later turn


async def test_closing_ends_the_wait_of_those_in_the_queue(store: LimiterStore) -> None:
    await acquire(store)
    before, _ = await figures(store)
    waiting = asyncio.create_task(acquire(store, patience=3600))
    await until_figures(store, before, 1)
    await store.close()
    with pytest.raises(StoreUnavailableError):
        async with asyncio.timeout(30):
            await waiting


async def test_every_key_that_holds_or_waits_has_a_line(store: LimiterStore) -> None:
    held = [await store.acquire(f"key-{number}", limit=1, max_queued=1, patience=0) for number in range(15)]
    waiting = asyncio.create_task(store.acquire("key-0", limit=1, max_queued=1, patience=30))
    async with asyncio.timeout(30):
        while (await counted(store)).queued != 1:
            await checkpoint()
    lines = {line.key: (line.in_flight, line.queued) for line in await store.lines()}
    assert lines == {"key-0": (1, 1), **{f"key-{number}": (1, 0) for number in range(1, 15)}}
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    for grant in held:
        store.release(grant)
    assert [line for line in await store.lines() if line.in_flight] == []
