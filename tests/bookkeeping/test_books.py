"""Each record is booked once, whatever is away or breaks off in between."""

import asyncio
import resource
import sqlite3
from collections import OrderedDict
from pathlib import Path

import msgspec
import pytest
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from gateway.bookkeeping import books as module
from gateway.bookkeeping.books import Bookkeeper
from gateway.bookkeeping.spool import Batch, Spool
from gateway.core.clock import SystemClock
from gateway.core.usage_record import UsageRecord
from gateway.database.database import Database
from gateway.store.choices import StoreKind
from gateway.store.factory import open_store
from gateway.store.settings import StoreSettings
from tests.bookkeeping.conftest import MONTH, ORGANIZATION, TODAY, WINDOWS, Books, calendar
from tests.support.ledger import sheet, sheets

pytestmark = pytest.mark.anyio


class Locked:
    """Somebody else writes into the SQLite file, and does not end."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "data" / "gateway.db", isolation_level=None)

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._connection.execute("ROLLBACK")
        self._connection.close()


async def left(books: Books) -> None:
    """Bookings that were given up have ended."""
    if books.keeper._late:
        await asyncio.wait(books.keeper._late)


async def test_what_was_used_stands_in_the_ledger_and_no_longer_in_the_journal(books: Books) -> None:
    await books.use(7, tokens=3)
    assert not await books.keeper.collect()
    assert (await books.booked(), await books.waiting()) == (7, 0)
    assert books.figure("written") == 7
    [line] = await books.database.usage.report(by="key", first=TODAY, last=TODAY)
    assert line.prompt_tokens == 21


async def test_a_full_batch_is_followed_by_another_one_at_once(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECS", 30.0)  # on a busy machine it would go to the disk first
    await books.use(module.BATCH + 1)
    assert await books.keeper.collect()
    assert await books.booked() == module.BATCH
    await books.keeper.drain()
    assert await books.booked() == module.BATCH + 1


async def test_what_was_booked_and_not_forgotten_is_booked_once(books: Books) -> None:
    await books.use(3)
    batch = Batch(books.accounts.host(), books.accounts.epoch(), 0.0, await books.accounts.journal(10))
    await books.keeper._book(batch)
    await books.keeper.collect()
    assert (await books.booked(), await books.waiting()) == (3, 0)
    assert books.figure("written") == 3


async def test_while_the_database_is_busy_records_wait_on_the_disk_and_arrive_once(
    books: Books, tmp_path: Path
) -> None:
    with Locked(tmp_path):
        await books.use(4)
        await books.keeper.collect()
        assert await books.waiting() == 0
        assert not books.spool.empty
        await books.use(2)
        await books.keeper.collect()
        assert await books.waiting() == 0
        assert await books.booked() == 0
    await left(books)
    while await books.keeper.replay():
        pass
    assert books.spool.empty
    assert await books.booked() == 6
    assert (books.figure("spooled"), books.figure("written")) == (6, 6)


async def test_while_something_waits_nothing_overtakes_it(books: Books) -> None:
    books.spool.append(Batch(books.accounts.host(), books.accounts.epoch(), 0.0, []))
    await books.use(1)
    await books.keeper.collect()
    assert (await books.waiting(), await books.booked()) == (0, 0)
    assert await books.keeper.replay()
    assert await books.keeper.replay()
    assert await books.booked() == 1


async def test_with_neither_database_nor_disk_records_stay_in_the_journal(books: Books, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    await books.use(5)
    with Locked(tmp_path):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            assert not await books.keeper.collect()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert await books.waiting() == 5
    await left(books)
    await books.keeper.collect()
    assert (await books.waiting(), await books.booked()) == (0, 5)


async def test_a_record_that_no_database_takes_holds_up_no_other(books: Books) -> None:
    await books.use(1)
    beyond = UsageRecord("beyond", 1e9, ORGANIZATION, "key1", "chat", prompt_tokens=2**63)
    await books.use(content=msgspec.msgpack.encode(beyond))
    await books.use(content=b"no record at all")
    await books.use(1)
    await books.keeper.collect()
    assert (await books.booked(), await books.waiting()) == (2, 0)
    assert (books.figure("written"), books.figure("lost")) == (2, 2)


async def test_what_an_earlier_life_of_the_counters_has_used_counts_again(books: Books) -> None:
    records = [UsageRecord(f"before-{n}", 1e9, ORGANIZATION, "key1", "chat", prompt_tokens=10) for n in range(4)]
    await books.database.usage.write("another journal", sheets(records), "an earlier epoch", calendar)
    assert await books.keeper.restore()
    await books.use(1, tokens=5)
    for account in (ORGANIZATION, "key:key1"):
        standing = await books.accounts.standing(account, WINDOWS)
        ours = account == ORGANIZATION
        assert (standing.day_requests, standing.month_requests) == (4 + ours, 4 + ours)
        assert standing.day_tokens == 40 + 5 * ours


async def test_a_key_that_was_used_from_several_addresses_counts_all_of_that_again(books: Books) -> None:
    records = [UsageRecord(f"before-{n}", 1e9, f"ip:192.0.2.{n}", "key1", "chat", prompt_tokens=10) for n in range(3)]
    await books.database.usage.write("another journal", sheets(records), "an earlier epoch", calendar)
    assert await books.keeper.restore()
    standing = await books.accounts.standing("key:key1", WINDOWS)
    assert (standing.day_requests, standing.month_tokens) == (3, 30)
    assert (await books.accounts.standing("ip:192.0.2.1", WINDOWS)).day_requests == 1


async def test_counters_that_are_lost_while_we_live_are_restored_too(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPLAY_SECS", 0.01)
    epochs = ["the first"]
    monkeypatch.setattr(books.accounts, "epoch", lambda: epochs[-1])
    await books.use(3, tokens=2)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(books.keeper.run())
        while await books.booked() < 3:
            await checkpoint()
        monkeypatch.setattr(books.accounts, "_accounts", OrderedDict())
        epochs.append("the second")
        while not (await books.accounts.standing(ORGANIZATION, WINDOWS)).day_requests:
            await checkpoint()
        keeping.cancel()
    standing = await books.accounts.standing(ORGANIZATION, WINDOWS)
    assert (standing.day_requests, standing.month_tokens) == (3, 6)


async def test_what_this_life_has_used_counts_once(books: Books) -> None:
    await books.use(3, tokens=2)
    await books.keeper.collect()
    assert await books.keeper.restore()
    standing = await books.accounts.standing(ORGANIZATION, WINDOWS)
    assert (standing.day_requests, standing.month_tokens) == (3, 6)


async def test_sheets_of_two_hosts_that_count_in_one_epoch_are_not_taken_for_each_other(
    books: Books, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a journal of its own, in which the first sheet has the same key."""
    monkeypatch.setattr(module, "PATIENCE_SECS", 30.0)  # likewise
    theirs = Books(open_store(StoreSettings(limiter_store=StoreKind.MEMORY)).accounts, database, tmp_path / "theirs")
    for host in (books, theirs):
        monkeypatch.setattr(host.accounts, "epoch", lambda: "the server's")
        await host.use(2)
        await host.keeper.collect()
    assert await books.booked() == 4
    theirs.spool.close()


async def test_what_an_earlier_journal_has_left_on_the_disk_is_not_taken_for_what_this_one_has(books: Books) -> None:
    """A host begins a new journal when it is started anew, and sheets of both may have the same key."""
    await books.use(1)
    (ours,) = await books.accounts.journal(10)
    theirs = sheet("", UsageRecord("before", 1e9, ORGANIZATION, "", "chat"))
    books.spool.append(Batch("another journal", "an earlier epoch", 0.0, [replace(theirs, key=ours.key)]))
    await books.keeper.collect()
    while await books.keeper.replay():
        pass
    assert await books.booked() == 2


async def test_nothing_is_restored_before_what_waits_on_the_disk_is_booked(books: Books) -> None:
    record = UsageRecord("before", 1e9, ORGANIZATION, "", "chat", prompt_tokens=10)
    books.spool.append(Batch("another journal", "an earlier epoch", 0.0, sheets([record])))
    assert not await books.keeper.restore()
    assert await books.keeper.replay()
    assert await books.keeper.restore()
    assert (await books.accounts.standing(ORGANIZATION, WINDOWS)).month_tokens == 10


async def test_nothing_is_restored_before_what_a_gateway_left_that_shared_the_folder_is_booked(
    books: Books, tmp_path: Path
) -> None:
    """Two gateways kept usage through an outage, and after a restart of the host there is one."""
    record = UsageRecord("before", 1e9, ORGANIZATION, "", "chat", prompt_tokens=10)
    other = Spool(tmp_path / "data")
    other.append(Batch("their journal", "an earlier epoch", 0.0, sheets([record])))
    other.close()
    assert not await books.keeper.restore()
    assert await books.keeper.replay()
    assert await books.keeper.restore()
    assert (await books.accounts.standing(ORGANIZATION, WINDOWS)).month_tokens == 10


async def test_the_time_of_day_is_that_of_the_counters(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a server of several hosts, that server's: a host's own clock may be days off."""
    accounts = open_store(StoreSettings(limiter_store=StoreKind.MEMORY)).accounts
    monkeypatch.setattr(accounts, "wall", lambda: 5.0)
    books = Books(accounts, database, tmp_path / "data")
    asked: list[float] = []

    def day_of(at: float) -> tuple[int, int]:
        asked.append(at)
        return TODAY, MONTH

    keeper = Bookkeeper(accounts, database.usage, books.spool, day_of, books.metrics, SystemClock())
    await keeper.restore()
    await keeper.prune()
    assert asked == [5.0, 5.0]
    books.spool.append(Batch("before", "epoch", 1.0, []))  # behind which the next one waits
    await books.use(1)
    await keeper.collect()
    while (frame := books.spool.first()) is not None and frame.batch.journal == "before":
        books.spool.drop(frame)
    assert frame is not None
    assert frame.batch.at == 5.0
    books.spool.close()


async def test_what_is_over_its_time_is_forgotten(books: Books) -> None:
    await books.database.usage.write("host", sheets([UsageRecord("old", 1e9, ORGANIZATION)]), "epoch", lambda _: (1, 1))
    assert await books.keeper.prune()
    assert not await books.keeper.prune()
    assert not await books.database.usage.report(by="day", first=0, last=TODAY)
    assert MONTH


async def test_it_runs_until_it_is_ended(books: Books) -> None:
    running = asyncio.create_task(books.keeper.run())
    await books.use(3)
    async with asyncio.timeout(30):
        while await books.booked() < 3:
            await SystemClock().sleep(0.01)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()


async def test_a_booking_that_was_not_waited_for_holds_up_none_behind_it(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in range(60):
        monkeypatch.setattr(module, "PATIENCE_SECS", patience / 4000)
        await books.use(300)
        await books.keeper.collect()
        while await books.keeper.replay():
            pass
        assert books.spool.empty  # or the lock of one that was given up would have kept the database from us
    assert await books.booked() == 60 * 300
