"""The LMDB store's own troubles: a full map, idle buckets, state that cannot be trusted."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn, cast

import lmdb
import pytest
from anyio.lowlevel import checkpoint

from gateway.core.clock import Clock, SystemClock
from gateway.store import environment, parting, slots, wills
from gateway.store.choices import StoreKind
from gateway.store.doorbell import datagram_socket
from gateway.store.errors import StoreUnavailableError
from gateway.store.lmdb import LmdbStore
from gateway.store.protocol import Bucket, Grant, Seat
from gateway.store.records import Claimant
from gateway.store.settings import StoreSettings
from gateway.store.tree import Environment
from tests.store.conftest import HandClock

pytestmark = pytest.mark.anyio

BUCKET = Bucket(rate=50, capacity=100)
SLOW_BUCKET = Bucket(rate=0.001, capacity=10)


def settings(directory: Path, *, tracked: int = 1000) -> StoreSettings:
    return StoreSettings(
        limiter_store=StoreKind.LMDB, limiter_path=directory, max_tracked_organizations=tracked, limiter_idle_secs=60
    )


@asynccontextmanager
async def opened(directory: Path, clock: Clock | None = None, *, tracked: int = 1000) -> AsyncIterator[LmdbStore]:
    store = LmdbStore(settings(directory, tracked=tracked), clock or SystemClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def small_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "map_bytes", lambda *_: 512 * 1024)


async def crowd(store: LmdbStore, held: list[Grant]) -> NoReturn:
    """Hold a slot of one organization after the other, until one is refused."""
    for number in itertools.count():
        grant = await store.acquire(f"crowd-{number}", limit=1, max_queued=1, patience=5)
        held.append(grant)
    raise AssertionError


async def seat(store: LmdbStore, organization: str) -> Seat:
    """The one seat of the one backend."""
    return await store.seat(
        "chat", organization, candidates=lambda: ["chat0"], limit=1, max_queued=100_000, patience=60
    )


@pytest.mark.usefixtures("small_map")
async def test_a_flood_of_made_up_organizations_fills_no_map(directory: Path) -> None:
    async with opened(directory, tracked=10_000_000) as store:
        grants = [await store.acquire("holder", limit=50, max_queued=0, patience=0) for _ in range(50)]
        for number in range(20_000):
            assert (await store.take(f"made-up-{number}", BUCKET)).granted
        assert store.counts().tracked < 10_000
        assert store.counts().in_flight == 50
        for grant in grants:
            store.release(grant)
        assert store.counts().in_flight == 0


@pytest.mark.usefixtures("small_map")
async def test_when_no_more_can_be_counted_newcomers_are_refused_and_nobody_else_is_hurt(directory: Path) -> None:
    async with opened(directory) as store:
        held: list[Grant] = []
        with pytest.raises(StoreUnavailableError):
            await crowd(store, held)
        for _ in range(100):
            with pytest.raises(StoreUnavailableError):
                await store.acquire("one more", limit=1, max_queued=1, patience=5)
        assert store.counts().in_flight == len(held) > 1000
        for grant in held:
            store.release(grant)
        assert store.counts().in_flight == 0
        store.release(await store.acquire("b", limit=1, max_queued=1, patience=5))


async def test_a_release_that_cannot_be_written_is_said_once_and_made_up_for(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(directory) as store:
        grant = await store.acquire("a", limit=1, max_queued=1, patience=5)
        waiting = asyncio.create_task(store.acquire("a", limit=1, max_queued=1, patience=5))
        await checkpoint()
        with tempfile.TemporaryDirectory() as elsewhere:
            broken = lmdb.open(elsewhere)
            broken.close()
            works, store._desk._env = store._desk._env, cast("Environment", broken)
            store.release(grant)
            store._desk._env = works
        await waiting
        assert store.counts().in_flight == 1
    assert [record.message for record in caplog.records] == ["slot_not_given_back"]


@pytest.mark.usefixtures("small_map")
async def test_when_no_more_can_be_counted_nobody_more_waits_for_a_seat(directory: Path) -> None:
    async with opened(directory) as store:
        held = await seat(store, "holder")
        waiting: list[asyncio.Task[Seat]] = []
        while not any(task.done() for task in waiting):
            waiting += [asyncio.create_task(seat(store, f"crowd-{len(waiting)}")) for _ in range(50)]
            await checkpoint()
        assert len(waiting) > 300
        for task in waiting:
            if task.done():
                assert isinstance(task.exception(), StoreUnavailableError)
        waits = [task for task in waiting if not task.done()]
        for task in waits[1:]:
            task.cancel()
        store.leave_seat(held)
        store.leave_seat(await waits[0])
        await asyncio.wait(waiting)
        while store.seat_counts():  # a seat that was given to one who was leaving goes on to nobody
            await checkpoint()


async def test_a_seat_that_cannot_be_given_back_is_given_back_later(directory: Path) -> None:
    async with opened(directory) as store:
        held = await seat(store, "a")
        waiting, leaving = asyncio.create_task(seat(store, "b")), asyncio.create_task(seat(store, "c"))
        await checkpoint()
        with tempfile.TemporaryDirectory() as elsewhere:
            broken = lmdb.open(elsewhere)
            broken.close()
            works, store._desk._env = store._desk._env, cast("Environment", broken)
            store.leave_seat(held)
            leaving.cancel()
            await asyncio.wait([leaving])
            store._desk._env = works
        assert leaving.cancelled()
        assert store.seat_counts()[0][1:] == (2, {"chat0": 1})
        store.leave_seat(await waiting)
        assert store.seat_counts() == ()


async def test_idle_buckets_are_forgotten_and_others_are_not(directory: Path, clock: HandClock) -> None:
    async with opened(directory, clock) as store:
        await store.acquire("holder", limit=1, max_queued=0, patience=0)
        await store.take("holder", BUCKET)
        await store.take("drained", SLOW_BUCKET, cost=10)
        for number in range(500):
            await store.take(f"idle-{number}", BUCKET)
        clock.now += 59
        for _ in range(10):
            store._decide(store._shelf.forget_idle, clock.now)
        assert store.counts().tracked == 502
        clock.now += 2
        async with asyncio.timeout(10):
            while store.counts().tracked > 2:
                await checkpoint()
        for _ in range(10):
            store._decide(store._shelf.forget_idle, clock.now)
        assert store.counts().tracked == 2


async def test_a_dead_worker_is_cleared_step_by_step_without_waiting_for_a_tick(directory: Path) -> None:
    async with opened(directory) as store:
        store._timer.cancel()
        for token in range(1000):
            store._decide(slots.enter, b"a", Claimant(99, token), 300, 1000)
        assert store.counts().in_flight == 300
        store._desk._bury(99)
        assert store.counts().in_flight + store.counts().queued == 800
        async with asyncio.timeout(30):
            while store.counts().in_flight:
                await checkpoint()
        assert store.counts().queued == 0


async def test_a_dead_worker_is_cleared_away_once_with_all_that_it_left_in_the_directory(directory: Path) -> None:
    async with opened(directory) as store:
        store._timer.cancel()
        dead = store._decide(parting.join)
        for token in range(1000):
            store._decide(slots.enter, b"a", Claimant(dead, token), 300, 1000)
        with datagram_socket() as its:
            its.bind(str(store._desk._doorbell.path_of(dead)))
        wills.WillBook(directory, dead).close()
        store._desk.look_after()  # finds it dead
        assert sum(store.counts()[:2]) == 800
        store._desk.look_after()
        assert sum(store.counts()[:2]) == 800
        async with asyncio.timeout(30):
            while dead in store._decide(parting.workers):
                await checkpoint()
        assert store.counts()[:2] == (0, 0)
        assert not store._desk._doorbell.path_of(dead).exists()
        assert not wills.path_of(directory, dead).exists()


async def test_a_dead_worker_that_is_half_cleared_away_is_left_to_others_by_one_that_closes(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(directory) as store:
        store._timer.cancel()
        dead = store._decide(parting.join)
        for token in range(1000):
            store._decide(slots.enter, b"a", Claimant(dead, token), 300, 1000)
        store._desk._bury(dead)
    await checkpoint()  # its next step
    assert store._desk._burying == set()
    assert caplog.records == []


async def test_trouble_that_lasts_is_said_once_and_again_when_it_comes_back(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(directory) as store:
        store._timer.cancel()
        desk, trouble = store._desk, StoreUnavailableError("no room")
        desk.complain("trouble", trouble)
        desk.recovered(still_owes=True)
        desk.complain("trouble", trouble)
        desk._debts.append(lambda _: [])
        desk.recovered(still_owes=False)
        desk.complain("trouble", trouble)
        assert [record.message for record in caplog.records] == ["trouble"]
        desk.look_after()
        desk.recovered(still_owes=False)
        desk.complain("trouble", trouble)
        assert [record.message for record in caplog.records] == ["trouble"] * 2


@asynccontextmanager
async def waiting_behind(store: LmdbStore, worker: int) -> AsyncIterator["asyncio.Task[Grant]"]:
    """Somebody who is patient and waits for the slot that another worker has, while no tick helps."""
    store._timer.cancel()
    store._decide(slots.enter, b"a", Claimant(worker, 1), 1, 1)
    task = asyncio.create_task(store.acquire("a", limit=1, max_queued=1, patience=3600))
    while not store.counts().queued:
        await checkpoint()
    try:
        yield task
    finally:
        task.cancel()


async def test_whoever_gets_a_dead_workers_slot_is_told_at_once(directory: Path) -> None:
    async with opened(directory) as store, waiting_behind(store, 99) as waiting, asyncio.timeout(30):
        assert not waiting.done()
        store._desk._bury(99)
        grant = await waiting
        assert store.counts()[:2] == (1, 0)  # the dead worker's own slot, not one more
        store.release(grant)


async def test_a_tick_makes_up_for_a_lost_wake_up(directory: Path) -> None:
    async with opened(directory) as store, waiting_behind(store, 99) as waiting, asyncio.timeout(30):
        assert store._decide(slots.leave, b"a", 99)  # those whom it names are told nothing
        await checkpoint()
        assert not waiting.done()
        store._tick()
        store.release(await waiting)


async def test_a_worker_that_cannot_clear_up_says_so_and_is_taken_for_dead(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(directory) as store:
        await store.acquire("a", limit=1, max_queued=1, patience=5)
        store._desk._env.close()
    assert caplog.records[-1].message == "limits_not_left"
    async with opened(directory) as store:
        assert store.counts().in_flight == 0
        store.release(await store.acquire("a", limit=1, max_queued=0, patience=0))


async def test_buckets_outlive_the_workers(directory: Path) -> None:
    async with opened(directory) as store:
        await store.take("a", SLOW_BUCKET, cost=10)
    async with opened(directory) as store:
        assert not (await store.take("a", SLOW_BUCKET)).granted


@pytest.mark.parametrize("ruin", ["boot", "layout", "data"])
async def test_state_that_cannot_be_trusted_is_discarded(directory: Path, ruin: str) -> None:
    async with opened(directory) as store:
        await store.take("a", SLOW_BUCKET, cost=10)
    if ruin == "data":
        (directory / "data.mdb").write_bytes(b"\xff" * 100_000)
    else:
        marker = directory / "layout"
        marker.write_text(marker.read_text().replace(ruin, "another"))
    async with opened(directory) as store:
        assert (await store.take("a", SLOW_BUCKET)).granted


async def test_a_gateway_of_another_size_is_refused_while_the_first_lives(directory: Path) -> None:
    async with opened(directory, tracked=1000):
        with pytest.raises(StoreUnavailableError, match="in use by a gateway with another layout or size"):
            await LmdbStore(settings(directory, tracked=2000), SystemClock()).open()


def open_to_all(directory: Path) -> None:
    directory.chmod(0o755)


async def test_a_directory_that_others_may_enter_is_refused(directory: Path) -> None:
    open_to_all(directory)
    with pytest.raises(StoreUnavailableError, match="mode 0700"):
        await LmdbStore(settings(directory), SystemClock()).open()


async def test_a_path_that_is_no_directory_is_refused(directory: Path) -> None:
    file = directory / "file"
    file.touch()
    with pytest.raises(StoreUnavailableError, match="cannot be used"):
        await LmdbStore(settings(file), SystemClock()).open()


def test_a_path_too_long_for_a_socket_is_refused() -> None:
    with pytest.raises(ValueError, match="too long for unix sockets"):
        settings(Path("/") / ("x" * 90))
