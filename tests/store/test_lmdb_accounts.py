"""What of accounts outlives a worker, a gateway, and a store that cannot be written."""

from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from gateway.core.principal import AccountLimits
from gateway.store import journal
from gateway.store.accounts import Claim, Reservation, Will
from gateway.store.errors import StoreUnavailableError
from gateway.store.lmdb import LmdbStore
from gateway.store.lmdb_accounts import BATCH, FORGOTTEN_TOGETHER
from gateway.store.records import AFTER_RESERVATIONS, RESERVATION
from gateway.store.tree import Tree, records_between
from tests.store.conftest import HandClock
from tests.store.host import Host
from tests.store.racing import settings
from tests.store.test_accounts import TODAY, records, spent

pytestmark = pytest.mark.anyio

CLAIM = Claim("org:acme", AccountLimits(tokens_per_day=1000))


async def reserve(store: LmdbStore, record: bytes = b"died", tokens: int = 100) -> Reservation:
    return await store.accounts.reserve((CLAIM,), tokens=tokens, windows=TODAY, will=Will(7, record))


async def opened(directory: Path, clock: HandClock) -> LmdbStore:
    store = LmdbStore(settings(directory), clock)
    await store.open()
    return store


def reservations(store: LmdbStore) -> int:
    return store._decide(lambda tree: sum(1 for _ in records_between(tree, RESERVATION, AFTER_RESERVATIONS)))


async def test_a_dead_workers_requests_are_booked_once_as_their_wills_say(directory: Path, clock: HandClock) -> None:
    host = Host(directory, clock)
    dies, lives = await host.open_worker(), await host.open_worker()
    for number in range(3):
        await reserve(dies, b"died %d" % number)
    ended = await reserve(dies, b"ended")
    dies.accounts.settle(ended, requests=1, tokens=50, record=b"ended well")
    await dies.accounts.standing(CLAIM.account, TODAY)
    mine = await reserve(lives, b"mine")
    host.crash(dies)
    for _ in range(3):
        host.look_round()
        await checkpoint()
    assert await spent(lives.accounts) == (5, 3 * 7 + 50 + 100, 5, 3 * 7 + 50 + 100)
    lives.accounts.settle(mine, requests=1, tokens=20, record=b"mine ended")
    assert await spent(lives.accounts) == (5, 3 * 7 + 50 + 20, 5, 3 * 7 + 50 + 20)
    assert await records(lives.accounts) == [b"died 0", b"died 1", b"died 2", b"ended well", b"mine ended"]
    assert reservations(lives) == 0
    await host.close()


async def test_what_ended_and_was_not_written_when_its_worker_died_is_booked_as_its_will_says(
    directory: Path, clock: HandClock
) -> None:
    host = Host(directory, clock)
    dies, lives = await host.open_worker(), await host.open_worker()
    dies.accounts.settle(await reserve(dies), requests=1, tokens=50, record=b"ended well")
    host.crash(dies)
    host.look_round()
    assert await records(lives.accounts) == [b"died"]
    assert (await spent(lives.accounts))[:2] == (1, 7)
    await host.close()


async def test_a_worker_that_was_taken_for_dead_books_nothing_again(directory: Path, clock: HandClock) -> None:
    host = Host(directory, clock)
    one, other = await host.open_worker(), await host.open_worker()
    reservation = await reserve(one)
    other._desk._bury(one._desk.worker)
    one.accounts.settle(reservation, requests=1, tokens=90, record=b"again")
    assert (await spent(one.accounts))[:2] == (1, 7)
    assert await records(other.accounts) == [b"died"]
    await host.close()


async def test_what_ends_is_written_with_the_next_tick(directory: Path, clock: HandClock) -> None:
    host = Host(directory, clock)
    one, other = await host.open_worker(), await host.open_worker()
    one.accounts.settle(await reserve(one), requests=1, tokens=30, record=b"ended")
    assert await spent(other.accounts) == (1, 100, 1, 100)
    host.look_round()
    assert await spent(other.accounts) == (1, 30, 1, 30)
    await host.close()


async def test_what_ends_is_not_kept_until_it_is_much(directory: Path, clock: HandClock) -> None:
    host = Host(directory, clock)
    one, other = await host.open_worker(), await host.open_worker()
    running = [await reserve(one, tokens=10) for _ in range(BATCH)]
    for reservation in running:
        one.accounts.settle(reservation, requests=1, tokens=1, record=None)
    assert await spent(other.accounts) == (BATCH, BATCH, BATCH, BATCH)
    await host.close()


async def test_what_ends_together_is_written_together(
    directory: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(directory, clock)
    running = [await reserve(store, tokens=10) for _ in range(5)]
    transactions: list[object] = []
    decide = store._desk.decide

    def counted(*args: Any) -> Any:
        transactions.append(args[0])
        return decide(*args)

    monkeypatch.setattr(store._accounts, "_decide", counted)
    for number, reservation in enumerate(running):
        store.accounts.settle(reservation, requests=1, tokens=number, record=b"%d" % number)
    store._accounts.write()
    store._accounts.write()
    assert len(transactions) == 1
    assert await records(store.accounts) == [b"0", b"1", b"2", b"3", b"4"]
    assert (await spent(store.accounts))[:2] == (5, 10)
    await store.close()


async def test_nobody_is_refused_for_what_has_ended(directory: Path, clock: HandClock) -> None:
    store = await opened(directory, clock)
    for _ in range(20):  # a thousand tokens a day
        store.accounts.settle(await reserve(store, tokens=900), requests=1, tokens=5, record=None)
    assert (await spent(store.accounts))[:2] == (20, 100)
    await store.close()


async def test_counters_journal_and_epoch_outlive_all_workers(directory: Path, clock: HandClock) -> None:
    first = await opened(directory, clock)
    epoch = first.accounts.epoch()
    first.accounts.settle(await reserve(first), requests=1, tokens=30, record=b"ended")
    await reserve(first, b"cut short")
    await first.close()
    second = await opened(directory, clock)
    assert second.accounts.epoch() == epoch
    assert await spent(second.accounts) == (2, 37, 2, 37)
    assert await records(second.accounts) == [b"cut short", b"ended"]
    await second.close()


async def test_reservations_of_workers_that_were_all_killed_are_booked_when_the_next_one_comes(
    directory: Path, clock: HandClock
) -> None:
    host = Host(directory, clock)
    await reserve(await host.open_worker(), b"died")
    host.crash(host.workers[0])
    host._opened[0].close()
    store = LmdbStore(host._settings, clock)
    await store.open()
    assert await spent(store.accounts) == (1, 7, 1, 7)
    assert await records(store.accounts) == [b"died"]
    assert reservations(store) == 0
    await store.close()


async def test_another_epoch_begins_where_nothing_was_kept(directory: Path, clock: HandClock) -> None:
    first = await opened(directory, clock)
    epoch = first.accounts.epoch()
    await first.close()
    (directory / "layout").write_bytes(b"another boot")
    second = await opened(directory, clock)
    assert second.accounts.epoch() != epoch
    assert await spent(second.accounts) == (0, 0, 0, 0)
    await second.close()


async def test_what_cannot_be_written_is_written_later(
    directory: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(directory, clock)
    one, other = await host.open_worker(), await host.open_worker()
    reservation = await reserve(one)

    def fail(*_: object) -> None:
        raise StoreUnavailableError("full")

    with monkeypatch.context() as patch:
        patch.setattr(one._accounts, "_decide", fail)
        one.accounts.settle(reservation, requests=1, tokens=30, record=b"ended")
        one._accounts.write()
        with pytest.raises(StoreUnavailableError):
            await reserve(one)
    assert one._accounts.owes
    host.look_round()
    assert await spent(other.accounts) == (1, 30, 1, 30)
    assert await records(other.accounts) == [b"ended"]
    await host.close()


async def test_buckets_are_not_forgotten_for_the_journals_sake(directory: Path, clock: HandClock) -> None:
    store = await opened(directory, clock)
    before = store.counts().tracked
    for number in range(1100):  # more than MAX_TRACKED_ORGANIZATIONS here
        store.accounts.settle(await reserve(store, tokens=0), requests=1, tokens=0, record=b"%d" % number)
    await store.accounts.standing(CLAIM.account, TODAY)
    assert store.counts().tracked == before

    def full(tree: Tree) -> bool:
        return store._shelf._is_full(tree)

    assert not store._decide(full)
    await store.close()


async def test_a_long_journal_is_forgotten_in_steps_between_which_others_decide(
    directory: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(directory, clock)
    one = await host.open_worker()
    count = FORGOTTEN_TOGETHER + 1
    for number in range(count):
        one.accounts.settle(await reserve(one, tokens=0), requests=1, tokens=0, record=b"%d" % number)
        one._accounts.write()  # a sheet for each
    entries = await one.accounts.journal(2 * count)
    steps: list[int] = []
    forget = journal.forget

    def remembered(tree: Tree, keys: list[bytes]) -> None:
        steps.append(len(keys))
        forget(tree, keys)

    monkeypatch.setattr("gateway.store.lmdb_accounts.journal.forget", remembered)
    await one.accounts.forget([sheet.key for sheet in entries])
    assert steps == [FORGOTTEN_TOGETHER, 1]
    assert one.accounts.journal_counts() == (0, 0, 0)
    await host.close()


async def test_a_sheet_of_all_that_ended_in_a_long_outage_outlives_all_workers_too(
    directory: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is longer than 64 KiB, and so is what is told of it."""
    host = Host(directory, clock)
    one = await host.open_worker()
    count = 8000

    def fail(*_: object) -> None:
        raise StoreUnavailableError("full")

    running = [await reserve(one, tokens=0) for _ in range(count)]
    with monkeypatch.context() as patch:
        patch.setattr(one._accounts, "_decide", fail)
        for number, reservation in enumerate(running):
            one.accounts.settle(reservation, requests=1, tokens=0, record=b"%09d" % number)
    one._accounts.write()
    host.crash(one)
    host._opened[0].close()
    store = LmdbStore(host._settings, clock)
    await store.open()
    assert store.accounts.journal_counts().records == count
    await store.close()
