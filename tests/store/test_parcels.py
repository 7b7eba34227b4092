"""A worker holds tokens of buckets that are far from empty, and nobody is refused or let in for it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import lmdb
import pytest

from gateway.store.lending import KEPT_SECS, Level, Loan, Parcel, level, packed
from gateway.store.lmdb import LmdbStore
from gateway.store.parcels import MOST_PARCELS
from gateway.store.protocol import Bucket, BucketState
from gateway.store.ticks import LOAN_SECS, LOOKS, TICK_SECS, TICKS_WITHOUT
from gateway.store.tree import Environment
from tests.store.conftest import Waits
from tests.store.host import Host

pytestmark = pytest.mark.anyio

BUCKET = Bucket(rate=50, capacity=100)
STILL = Bucket(rate=1e-6, capacity=100)
"""Into which nothing flows while a test lasts."""


@pytest.fixture
def clock() -> Waits:
    return Waits()


@pytest.fixture
async def host(directory: Path, clock: Waits) -> AsyncIterator[Host]:
    host = Host(directory, clock)
    for _ in range(2):
        await host.open_worker()
    yield host
    await host.close()


def held(store: LmdbStore, key: str = "a") -> int:
    """Tokens that a worker holds and has not used."""
    return store._parcels[key].left if key in store._parcels else 0


def transactions(store: LmdbStore) -> int:
    """Those that changed something, so far."""
    newest: int = cast("Any", store._desk._env).environment.info()["last_txnid"]
    return newest


async def take(store: LmdbStore, times: int = 1, bucket: Bucket = STILL) -> BucketState:
    """The last of so many answers."""
    states = [await store.take("a", bucket) for _ in range(times)]
    return states[-1]


async def granted(store: LmdbStore, times: int, bucket: Bucket = STILL) -> int:
    return sum([(await store.take("a", bucket)).granted for _ in range(times)])


async def test_from_the_second_request_within_a_tick_on_a_sixteenth_is_held(host: Host) -> None:
    one, _ = host.workers
    await take(one)
    assert held(one) == 0
    host.look_round()
    await take(one)
    assert held(one) == 0
    await take(one)
    assert held(one) == (100 - 3) // 16


async def test_what_is_held_is_used_without_a_transaction(host: Host) -> None:
    one, _ = host.workers
    await take(one, 2)
    before = transactions(one)
    state = await take(one, held(one))
    assert transactions(one) == before
    assert (state.granted, round(state.remaining)) == (True, 92)
    await take(one)
    assert transactions(one) == before + 1
    assert held(one) == (100 - 9) // 16


async def test_a_large_bucket_lends_no_more_than_64_at_once(host: Host) -> None:
    one, _ = host.workers
    await take(one, 2, Bucket(1e6, 1e6))
    assert held(one) == 64


async def test_of_a_bucket_that_is_nearly_empty_nothing_is_held(host: Host) -> None:
    one, _ = host.workers
    await one.take("a", STILL, cost=68)
    await take(one)
    assert held(one) == 0
    before = transactions(one)
    await take(one, 31)
    assert transactions(one) == before + 31


async def test_a_tick_gives_back_what_nobody_used(host: Host) -> None:
    one, other = host.workers
    await take(one, 4)
    assert held(one) == 4
    host.look_round()
    assert held(one) == 0
    await other.take("a", STILL, cost=96)
    assert not (await other.take("a", STILL)).granted


async def test_a_close_gives_back_what_nobody_used(host: Host) -> None:
    one, other = host.workers
    await take(one, 4)
    host.workers.remove(one)
    await one.close()
    assert (await other.take("a", STILL, cost=96)).granted


async def test_what_is_merely_held_is_not_shown_as_taken(host: Host) -> None:
    one, other = host.workers
    states = [await take(one) for _ in range(5)]
    assert [round(state.remaining) for state in states] == [99, 98, 97, 96, 95]
    others = [await take(other) for _ in range(3)]
    assert held(other)
    assert [round(state.remaining) for state in others] == [97, 96, 95]  # what one has used comes with its tick
    host.look_round()
    assert round((await other.take("a", STILL, cost=0)).remaining) == 92


async def test_headers_tell_of_the_time_that_goes_by_while_a_parcel_lasts(host: Host, clock: Waits) -> None:
    one, _ = host.workers
    await take(one, 2, BUCKET)
    clock.now += 0.03
    state = await take(one, 1, BUCKET)
    assert state.remaining == pytest.approx(100 - 2 + 0.03 * 50 - 1, abs=1e-4)
    assert state.reset_after == pytest.approx(1.5 / 50, abs=1e-6)


async def test_who_would_be_refused_has_what_others_hold(host: Host, clock: Waits) -> None:
    one, other = host.workers
    await take(one, 2)
    assert held(one) == 6
    await other.take("a", STILL, cost=92)
    assert clock.sleeps == 0
    assert await granted(other, 7) == 6
    assert clock.sleeps == 1
    assert held(one) == 0


async def test_who_would_be_refused_gives_back_its_own_first(host: Host, clock: Waits) -> None:
    one, _ = host.workers
    await take(one, 2)
    assert (await one.take("a", STILL, cost=98)).granted
    assert not (await take(one)).granted
    assert clock.sleeps == 0


async def test_whoever_is_called_holds_none_for_some_ticks(host: Host) -> None:
    one, _ = host.workers
    await take(one, 2)
    one._called_for()
    for _ in range(TICKS_WITHOUT):
        await take(one, 2)
        assert held(one) == 0
        host.look_round()
    await take(one, 2)
    assert held(one)


async def test_whoever_calls_others_holds_none_either(host: Host) -> None:
    one, other = host.workers
    await take(one, 2)
    assert not (await other.take("a", STILL, cost=99)).granted
    await take(other, 2)
    assert held(other) == 0


async def test_a_request_of_another_cost_holds_none(host: Host) -> None:
    one, _ = host.workers
    for _ in range(3):
        await one.take("a", STILL, cost=3.0)
    assert held(one) == 0


async def test_in_an_overload_nobody_is_called_and_nobody_waits(
    host: Host, clock: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[int] = []
    for worker in host.workers:
        monkeypatch.setattr(worker._desk, "call_for", rung.extend)
    await asyncio.gather(*(granted(worker, 200) for worker in host.workers))
    rung.clear()
    clock.sleeps = 0
    for _ in range(5):
        host.look_round()
        assert await granted(host.workers[0], 100) + await granted(host.workers[1], 100) == 0
    assert (rung, clock.sleeps) == ([], 0)


async def test_nobody_waits_longer_for_a_dead_worker_than_it_was_lent_for(host: Host, clock: Waits) -> None:
    dies, lives = host.workers
    await take(dies, 2)
    host.crash(dies)
    await lives.take("a", STILL, cost=92)
    assert not (await take(lives)).granted
    assert clock.sleeps == LOOKS
    clock.now += 1e-3
    assert not (await take(lives)).granted
    assert clock.sleeps == LOOKS


async def test_what_is_held_may_be_used_until_whoever_needs_it_has_looked_for_the_last_time(
    host: Host, clock: Waits
) -> None:
    one, _ = host.workers
    await take(one, 2)
    clock.now += LOOKS * TICK_SECS - 1e-3
    before = transactions(one)
    assert (await take(one)).granted
    assert transactions(one) == before


async def test_what_was_lent_is_used_no_more_when_its_time_is_over(host: Host, clock: Waits) -> None:
    one, other = host.workers
    await take(one, 2)
    clock.now += LOAN_SECS
    await other.take("a", STILL, cost=92)
    assert not (await take(other)).granted
    assert clock.sleeps == 0  # nobody has any of it who could be asked for it
    assert one._parcels["a"].draw(clock.now, STILL) is None
    assert await granted(one, 7) == 6  # of what it has given back


async def test_what_was_used_late_of_a_parcel_flows_in_from_then_on(host: Host, clock: Waits) -> None:
    one, other = host.workers
    await take(one, 2, BUCKET)
    clock.now += LOAN_SECS - 0.01
    assert await granted(one, 6, BUCKET) == 6
    assert held(one) == 0
    clock.now += 0.02
    assert not (await other.take("a", BUCKET, cost=96)).granted
    assert (await other.take("a", BUCKET, cost=94)).granted


async def test_a_tick_that_is_late_gives_back_all_the_same_if_nobody_asked(host: Host, clock: Waits) -> None:
    one, other = host.workers
    await take(one, 2)
    clock.now += 10 * LOAN_SECS
    host.look_round()
    assert (await other.take("a", STILL, cost=98)).granted


@pytest.mark.parametrize(("late", "lost"), [(0.0, 0), (KEPT_SECS - 0.01, 0), (KEPT_SECS, 6)])
async def test_a_tick_that_is_late_gives_back_what_others_have_not_counted_as_used(
    host: Host, clock: Waits, late: float, lost: int
) -> None:
    one, other = host.workers
    await take(one, 2)
    clock.now += LOAN_SECS + late
    await take(other, 2)
    assert held(other)
    host.look_round()
    assert not (await other.take("a", STILL, cost=97 - lost)).granted
    assert (await other.take("a", STILL, cost=96 - lost)).granted


async def test_what_nobody_gave_back_counts_as_used_in_the_last_moment_of_the_last_loan() -> None:
    """A parcel may have been used then, in a bucket that was full but for what was lent."""
    record = packed(Level(119.0, [Loan(1, 0.05, 100.0), Loan(2, 20.0, 100.3)]))
    full_at, loans = level(record, 100.3 + KEPT_SECS)
    assert full_at == pytest.approx(100.3 + 20.05)
    assert loans == []


async def test_what_comes_back_long_after_its_time_leaves_others_room_for_all_that_they_hold() -> None:
    """It was used, as far as anybody knew, and has flowed in since: what it gives back is none of what they hold."""
    record = packed(Level(130.0, [Loan(1, 20.0, 100.0), Loan(2, 20.0, 200.2)]))
    late = Parcel(Bucket(rate=1, capacity=100), full_at=130.0, left=20, until=100.0, written=b"")
    full_at, loans = level(record, 200.0, worker=1, parcel=late)
    assert full_at == 200.0 + 20.0
    assert loans == [Loan(2, 20.0, 200.2)]


async def test_ticks_that_are_always_late_drain_nothing(host: Host, clock: Waits) -> None:
    """Every worker asks between each one's tick and the next, which comes when its loan is over."""
    await host.open_worker()
    slow = Bucket(rate=0.01, capacity=1000)
    began = clock.now
    ran = last = 0
    while ran == 0 or ran > last:
        last = ran
        for worker in host.workers:
            ran += await granted(worker, 3, slow)
            clock.now += LOAN_SECS
        host.look_round()
    assert ran == slow.capacity + int((clock.now - began) * slow.rate)


async def test_what_is_held_by_who_is_late_is_not_shown_as_there(host: Host, clock: Waits) -> None:
    one, other = host.workers
    await take(one, 2)
    clock.now += LOAN_SECS
    assert round((await take(other)).remaining) == 100 - 2 - 6 - 1


async def test_a_full_bucket_is_not_full_and_held_on_top_of_it(host: Host, clock: Waits) -> None:
    one, other = host.workers
    await take(one, 2, BUCKET)
    parcel = held(one)
    clock.now += LOAN_SECS * 0.9  # all that was taken or is held would have flown in again
    assert (await other.take("a", BUCKET, cost=100 - parcel)).granted
    assert await granted(one, parcel, BUCKET) == parcel
    assert not (await take(one, 1, BUCKET)).granted


@pytest.mark.parametrize(("later", "loans_over"), [(0.0002, 1), (0.1999, 2)])
async def test_who_asks_behind_the_end_of_a_loan_finds_what_was_lent_used(
    host: Host, clock: Waits, later: float, loans_over: int
) -> None:
    swift = Bucket(rate=200, capacity=100)  # it would be full again but for what is held
    one, other = host.workers
    third = await host.open_worker()
    await take(one, 2, swift)
    clock.now += 0.2
    await take(other, 2, swift)
    ones, others = held(one), held(other)
    clock.now += LOAN_SECS - 0.2001
    assert await granted(one, ones, swift) == ones  # in the last moment
    clock.now += later
    assert await granted(other, others, swift) == others
    clock.now += 0.0002
    room = 100 - others - (ones if loans_over == 1 else 0)
    assert not third._parcels._ask("a", swift, room + 2).state.granted


@pytest.mark.parametrize("bucket", [Bucket(200, 100), Bucket(50, 100), Bucket(2000, 1000), Bucket(100_000, 1024)])
async def test_what_is_given_back_late_leaves_room_for_what_others_hold(
    host: Host, clock: Waits, bucket: Bucket
) -> None:
    late, other = host.workers
    await take(late, 2, bucket)
    clock.now += LOAN_SECS - 0.05
    await take(other, 2, bucket)
    clock.now += 0.1  # the loan of `late` is over, and it asks before its tick
    theirs = held(other)
    mine = 0
    while late._parcels._ask("a", bucket, 1.0).state.granted:  # who waits for nobody
        mine += 1 + held(late)
        late._parcels.clear()
    assert mine + await granted(other, theirs, bucket) <= bucket.capacity


async def test_a_bucket_is_as_full_as_if_nothing_had_been_held_where_one_worker_asks(host: Host, clock: Waits) -> None:
    one, other = host.workers
    await take(one, 7, BUCKET)
    clock.now += LOAN_SECS * 0.9
    host.look_round()
    assert await granted(other, 101, BUCKET) == 100


async def test_a_bucket_that_was_forgotten_is_full_and_gets_nothing_back(host: Host) -> None:
    one, _ = host.workers
    await take(one, 2)
    one._decide(lambda tree: tree.delete(b"ba"))
    one._parcels.give_back()
    assert held(one) == 0
    assert one._decide(lambda tree: tree.get(b"ba")) is None


async def test_a_bucket_of_which_some_is_held_is_not_forgotten(host: Host, clock: Waits) -> None:
    one, _ = host.workers
    swift = Bucket(rate=1e6, capacity=100)
    one._shelf._idle_secs = 0.0
    await take(one, 2, swift)
    clock.now += LOAN_SECS * 0.9
    one._decide(one._shelf.forget_idle, clock.now)
    one._decide(one._shelf.make_room, clock.now)
    assert one.counts().tracked == 1
    clock.now += LOAN_SECS
    one._decide(one._shelf.forget_idle, clock.now)
    assert one.counts().tracked == 0


async def test_what_cannot_be_given_back_is_given_back_later(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    one, other = host.workers
    await take(one, 2)
    with tempfile.TemporaryDirectory() as elsewhere:
        broken = lmdb.open(elsewhere)
        broken.close()
        works, one._desk._env = one._desk._env, cast("Environment", broken)
        one._parcels.give_back()
        one._desk._env = works
    assert held(one) == 6
    one._parcels.give_back()
    assert (await other.take("a", STILL, cost=98)).granted
    assert caplog.messages == ["tokens_not_given_back"]


async def test_a_worker_holds_a_bounded_number_of_parcels(host: Host) -> None:
    one, other = host.workers
    for number in range(2 * MOST_PARCELS + 5):
        for _ in range(2):
            await one.take(f"organization-{number}", STILL)
        assert 0 < len(one._parcels) <= MOST_PARCELS
    host.look_round()
    for number in range(2 * MOST_PARCELS + 5):
        assert (await other.take(f"organization-{number}", STILL, cost=98)).granted


async def test_another_parcel_in_the_place_of_one_gives_back_no_others(host: Host) -> None:
    one, _ = host.workers
    for number in range(MOST_PARCELS):
        for _ in range(2):
            await one.take(f"organization-{number}", STILL)
    for _ in range(7):
        await one.take("organization-0", STILL)
    assert len(one._parcels) == MOST_PARCELS


async def test_another_shape_of_the_bucket_has_nothing_of_what_is_held(host: Host) -> None:
    one, _ = host.workers
    await take(one, 2)
    assert not (await take(one, 1, Bucket(rate=1e-6, capacity=2))).granted
    assert held(one) == 0
