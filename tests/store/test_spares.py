"""A slot that nobody misses is kept for the next request of its worker, and given back as soon as anybody could."""

import asyncio
import tempfile
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import lmdb
import pytest
import uvloop
from anyio.lowlevel import checkpoint
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from gateway.core.clock import SystemClock
from gateway.store import slots
from gateway.store.errors import NoPlaceError
from gateway.store.lmdb import LmdbStore
from gateway.store.protocol import Grant
from gateway.store.records import Claimant
from gateway.store.settings import default_path
from gateway.store.spares import SPARED_NAMES
from gateway.store.tally import ANYBODY, FIRST_TICKET
from gateway.store.ticks import TICK_SECS, TICKS_WITHOUT
from gateway.store.tree import Environment
from tests.store.host import Host

pytestmark = pytest.mark.anyio

NAME = b"a"
ANOTHER = 99
"""A worker of which only its records are there."""


@asynccontextmanager
async def stores(directory: Path, number: int) -> AsyncIterator[list[LmdbStore]]:
    """That many workers without a tick: whoever is woken was rung."""
    host = Host(directory, SystemClock())
    yield [await host.open_worker() for _ in range(number)]
    await host.close()


@pytest.fixture
async def store(directory: Path) -> AsyncIterator[LmdbStore]:
    async with stores(directory, 1) as (opened,):
        yield opened


async def acquire(store: LmdbStore, limit: int = 4, *, max_queued: int = 100, patience: float = 60) -> Grant:
    return await store.acquire("a", limit=limit, max_queued=max_queued, patience=patience)


def written(store: LmdbStore) -> tuple[int, int]:
    """Slots taken and requests waiting as the other workers see it."""
    lines = store._decide(lambda tree: list(slots.lines(tree)))
    return sum(in_flight for _, in_flight, _ in lines), sum(queued for _, _, queued in lines)


def enter_elsewhere(store: LmdbStore, limit: int = 4) -> int:
    return store._decide(slots.enter, NAME, Claimant(ANOTHER, 1), limit, 100)[0]


async def until_done(task: "asyncio.Task[Grant]") -> Grant:
    async with asyncio.timeout(10):
        return await task


async def test_a_slot_given_back_is_the_next_requests_without_a_word_to_others(store: LmdbStore) -> None:
    first, second = await acquire(store), await acquire(store)
    store.release(first)
    store.release(second)
    assert written(store) == (2, 0)
    again = [await acquire(store), await acquire(store)]
    assert written(store) == (2, 0)
    await acquire(store)
    assert written(store) == (3, 0)
    for grant in again:
        store.release(grant)
    assert store.counts().in_flight == 1


async def test_a_slot_kept_is_not_counted_as_taken(store: LmdbStore) -> None:
    store.release(await acquire(store))
    assert written(store) == (1, 0)
    assert store.counts() == (0, 0, 0, ())
    assert written(store) == (0, 0)


async def test_a_tick_gives_back_what_nobody_used(store: LmdbStore) -> None:
    store.release(await acquire(store))
    store._tick()
    assert written(store) == (0, 0)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_a_slot_is_kept_only_while_at_most_half_of_them_are_taken(store: LmdbStore, limit: int) -> None:
    grants = [await acquire(store, limit) for _ in range(limit)]
    for grant in grants:
        store.release(grant)
    assert written(store) == (limit // 2, 0)


@pytest.mark.parametrize("refused_at_once", [{"max_queued": 0}, {"patience": 0}])
async def test_where_nobody_can_wait_for_a_slot_none_is_kept(store: LmdbStore, refused_at_once: dict[str, int]) -> None:
    store.release(await acquire(store, **refused_at_once))
    assert written(store) == (0, 0)


async def test_a_burst_is_not_refused_for_slots_that_another_worker_keeps(directory: Path) -> None:
    async with stores(directory, 2) as (keeper, asked):
        kept = [await acquire(keeper) for _ in range(2)]
        for grant in kept:
            keeper.release(grant)
        burst = [asyncio.create_task(acquire(asked, max_queued=1)) for _ in range(5)]
        for _ in range(5):
            done, _ = await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            first = done.pop()
            burst.remove(first)
            asked.release(await first)
        assert not burst


async def test_a_full_queue_that_all_have_heard_of_refuses_at_once(store: LmdbStore) -> None:
    held = [await acquire(store, 1)]
    waiting = asyncio.create_task(acquire(store, 1, max_queued=1))
    await checkpoint()
    with pytest.raises(NoPlaceError):
        await acquire(store, 1, max_queued=1)  # looks a second time, a tick later
    store._spares._waited_for_since -= TICK_SECS
    refused = asyncio.create_task(acquire(store, 1, max_queued=1))
    await checkpoint()
    assert isinstance(refused.exception(), NoPlaceError)
    store.release(held.pop())
    store.release(await until_done(waiting))


@pytest.mark.parametrize(("limit", "most"), [(60, 16), (120, 16), (136, 17), (1000, 125)])
async def test_a_worker_keeps_a_few_slots_of_a_name_and_more_of_more(store: LmdbStore, limit: int, most: int) -> None:
    for grant in [await acquire(store, limit) for _ in range(most + 5)]:
        store.release(grant)
    assert written(store) == (most, 0)


async def test_at_the_limit_a_slot_is_had_again_as_soon_as_it_is_given_back(store: LmdbStore) -> None:
    held = await acquire(store)
    assert [enter_elsewhere(store) for _ in range(3)][-1] == slots.STARTED
    store.release(held)
    assert written(store) == (4, 0)
    await acquire(store)
    assert written(store) == (4, 0)
    assert not store._spares


async def test_a_newcomer_does_not_overtake_who_waits_elsewhere_by_a_slot_that_was_kept(store: LmdbStore) -> None:
    store.release(await acquire(store, 2))
    assert enter_elsewhere(store, 2) == slots.STARTED
    ticket = enter_elsewhere(store, 2)
    assert ticket >= FIRST_TICKET
    newcomer = asyncio.create_task(acquire(store, 2))
    await checkpoint()
    assert written(store) == (2, 1)
    assert not newcomer.done()
    store._desk.call(store._decide(slots.leave, NAME, ANOTHER))
    await until_done(newcomer)


async def test_once_told_that_somebody_waits_no_slot_is_kept_until_nobody_does(store: LmdbStore) -> None:
    kept, held = await acquire(store, 5), await acquire(store, 5)
    store.release(kept)
    others = [enter_elsewhere(store, 5) for _ in range(4)]
    assert others[-1] == FIRST_TICKET
    store._desk._rung(ANYBODY)
    assert written(store) == (5, 0)
    store.release(held)
    assert written(store) == (4, 0)
    for _ in range(3):
        store._decide(slots.leave, NAME, ANOTHER)
    again = await acquire(store, 5)
    store.release(again)
    assert written(store) == (1, 0)
    for _ in range(TICKS_WITHOUT):
        store.release(await acquire(store, 5))
        assert written(store) == (1, 0)
        store._tick()
        store._timer.cancel()
    store.release(await acquire(store, 5))
    assert written(store) == (2, 0)


async def test_who_waits_is_spoken_of_once_a_tick(directory: Path) -> None:
    async with stores(directory, 2) as (keeper, waiter):
        held = await acquire(keeper, 2)
        await acquire(waiter, 2)
        rings: list[int] = []
        keeper._desk._doorbell._on_ring = rings.append

        async def queue_and_go() -> None:
            waiting = asyncio.create_task(acquire(waiter, 2))
            await checkpoint()
            waiting.cancel()
            await asyncio.wait([waiting])

        for ticks in range(2):
            for _ in range(5):
                await queue_and_go()
            waiter._desk._doorbell.ring(keeper._desk.worker, [7 + ticks])
            async with asyncio.timeout(10):
                while 7 + ticks not in rings:
                    await checkpoint()
            waiter._tick()
            waiter._timer.cancel()
        assert rings == [ANYBODY, 7, ANYBODY, 8]
        keeper.release(held)


async def test_slots_of_a_few_names_are_kept_and_then_all_are_given_back(store: LmdbStore) -> None:
    most = 0
    for number in range(10 * SPARED_NAMES):
        store.release(await store.acquire(f"made-up-{number}", limit=2, max_queued=1, patience=60))
        most = max(most, written(store)[0])
    assert most == SPARED_NAMES
    assert store.counts().in_flight == 0


async def test_nothing_is_kept_after_the_close(store: LmdbStore) -> None:
    grant = await acquire(store)
    await store.close()
    store.release(grant)
    assert not store._spares


async def test_slots_that_cannot_be_given_back_are_given_back_later(store: LmdbStore) -> None:
    store.release(await acquire(store))
    with tempfile.TemporaryDirectory() as elsewhere:
        broken = lmdb.open(elsewhere)
        broken.close()
        works, store._desk._env = store._desk._env, cast("Environment", broken)
        store._desk._rung(ANYBODY)
        store._desk._env = works
    assert written(store) == (1, 0)
    store._tick()
    assert written(store) == (0, 0)


# Several workers, without a tick

LIMITS = {"a": 2, "b": 5}
WORKERS = 3

Move = tuple[str, str, int]
"""Somebody comes to a worker, or goes (the one of that number, counted round), or all workers look round."""

keys = st.sampled_from(sorted(LIMITS))
workers = st.integers(0, WORKERS - 1)
comings = st.tuples(st.just("come"), keys, workers)
goings = st.tuples(st.just("go"), keys, st.integers(0, 10))
looks = st.just(("look", "", 0))
moves = st.lists(comings | comings | comings | goings | goings | looks, min_size=10, max_size=60)

KEPT_WHILE_OTHERS_WAIT = [("come", "a", 0), ("go", "a", 0), ("come", "a", 1), ("come", "a", 1)]
GIVEN_BACK_BESIDE_WHO_WAITS = [("come", "b", 0)] * 6 + [("go", "b", 0)]


class Model:
    """What is promised of slots, without workers: each visit runs or waits, and the oldest that waits runs next."""

    def __init__(self) -> None:
        self.running: defaultdict[str, list[int]] = defaultdict(list)
        self.waiting: defaultdict[str, deque[int]] = defaultdict(deque)

    def come(self, key: str, visit: int) -> None:
        self.waiting[key].append(visit)
        self._admit(key)

    def go(self, key: str, visit: int) -> None:
        if visit in self.running[key]:
            self.running[key].remove(visit)
        else:
            self.waiting[key].remove(visit)
        self._admit(key)

    def _admit(self, key: str) -> None:
        while self.waiting[key] and len(self.running[key]) < LIMITS[key]:
            self.running[key].append(self.waiting[key].popleft())


class Visit:
    """A request at one of the workers."""

    def __init__(self, store: LmdbStore, key: str) -> None:
        self.key = key
        self._store = store
        self._task = asyncio.create_task(store.acquire(key, limit=LIMITS[key], max_queued=1000, patience=3600))

    @property
    def runs(self) -> bool:
        return self._task.done() and not self._task.cancelled()

    async def go(self) -> None:
        if self.runs:
            self._store.release(self._task.result())
        else:
            self._task.cancel()
            await asyncio.wait([self._task])
            if self.runs:  # it was called in this very moment
                self._store.release(self._task.result())


async def play(directory: Path, moves: list[Move]) -> tuple[int, int]:
    """After every move the same requests run as in the model, over all workers and whatever slots they keep.

    What is written down as taken and waited for when all have gone.
    """
    model, visits = Model(), dict[int, Visit]()
    async with stores(directory, WORKERS) as workers:
        for number, (move, key, choice) in enumerate(moves):
            mine = [visit for visit, at in visits.items() if at.key == key]
            if move == "come":
                visits[number] = Visit(workers[choice], key)
                await checkpoint()
                model.come(key, number)
            elif move == "look":
                for worker in workers:
                    worker._tick()
                    worker._timer.cancel()
            elif mine:
                gone = mine[choice % len(mine)]
                await visits.pop(gone).go()
                model.go(key, gone)
            expected = {visit for running in model.running.values() for visit in running}
            async with asyncio.timeout(30):
                while {visit for visit, at in visits.items() if at.runs} != expected:
                    await checkpoint()
        for visit in visits.values():
            await visit.go()
        for worker in workers:
            worker._spares.give_back()
        return written(workers[0])


# Not made shorter: each try of one that fails takes the 5 s of its time-out.
@settings(max_examples=100, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(moves)
@example(KEPT_WHILE_OTHERS_WAIT)
@example(GIVEN_BACK_BESIDE_WHO_WAITS)
def test_whatever_workers_keep_the_same_requests_run_as_if_they_kept_nothing(moves: list[Move]) -> None:
    with tempfile.TemporaryDirectory(prefix="gw-", dir=default_path().parent) as directory:
        Path(directory).chmod(0o700)
        assert uvloop.run(play(Path(directory), moves)) == (0, 0)
