"""Tests of a write to SQLite that is cancelled: whoever writes next finds no lock, whatever it was waiting for."""

import asyncio
import contextlib
import gc
import itertools
import sqlite3
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.core.usage_record import UsageRecord
from gateway.database import entries
from gateway.database.database import Database
from gateway.database.errors import DatabaseUnavailableError
from gateway.database.rows import Organization
from gateway.database.settings import DatabaseSettings
from tests.support.ledger import sheets

pytestmark = pytest.mark.anyio

LEAST_WAITS = 15
"""Of a write: the begin, four statements and the commit, some of them with a cursor to make and to close."""
LEAST_WAITS_OF_BOOKING = 5
"""The begin, two statements of one hop each, and the commit."""
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000000) SELECT sum(i) FROM n"


class Waits:
    """A coroutine that can be awaited, and cancels its task whenever it begins to wait for the n-th time.

    Args:
        body: what is awaited.
        numbers: at which waits, the first being 1.
    """

    def __init__(self, body: Coroutine[Any, Any, object], *numbers: int) -> None:
        self._body = body
        self._numbers = numbers
        self.count = 0

    @types.coroutine
    def run(self) -> Generator[object, Any, None]:
        step, value = self._body.send, None
        with contextlib.suppress(StopIteration):
            while True:
                awaited = step(value)
                self.count += 1
                if self.count in self._numbers:
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                try:
                    step, value = self._body.send, (yield awaited)
                except BaseException as error:  # noqa: BLE001 -- the body's, as in any await
                    step, value = self._body.throw, error


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No collection finds by chance what holds a lock."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def write_from_elsewhere(settings: DatabaseSettings) -> None:
    """Take the lock as another process would, which waits for a second."""

    def write() -> None:
        with contextlib.closing(
            sqlite3.connect(settings.data_path / "gateway.db", isolation_level=None, timeout=1)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE changes SET number = number + 1")
            other.execute("COMMIT")

    await asyncio.to_thread(write)


async def make_organization(database: Database, name: str) -> None:
    await database.organizations.create(Organization(name=f"org:{name}"), actor="ann")


async def book(database: Database, name: str) -> None:
    await database.usage.write("host", sheets([UsageRecord(name)]), "epoch", lambda _: (1, 1))


Write = Callable[[Database, str], Coroutine[Any, Any, None]]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(("write", "least"), [(make_organization, LEAST_WAITS), (book, LEAST_WAITS_OF_BOOKING)])
@pytest.mark.parametrize("used_before", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_write_that_is_cancelled_wherever_it_waits_keeps_no_lock(
    sqlite_settings: DatabaseSettings, times: int, write: Write, least: int, *, used_before: bool
) -> None:
    """As the two bounds of a transaction's time do it: once, and once more while the first is being obeyed."""
    for number in itertools.count(1):
        database = Database(sqlite_settings)
        if used_before:
            await database.changes.number()
        waits = Waits(write(database, f"{number}"), *range(number, number + times))
        (ended,) = await asyncio.gather(asyncio.create_task(waits.run()), return_exceptions=True)
        await write_from_elsewhere(sqlite_settings)
        await write(database, f"next{number}")
        await database.close()
        if ended is None:
            break
        assert isinstance(ended, asyncio.CancelledError)
    assert number > least


async def test_a_statement_that_takes_too_long_is_ended_and_its_lock_with_it(sqlite_settings: DatabaseSettings) -> None:
    impatient = sqlite_settings.model_copy(update={"database_timeout_secs": 0.5})
    async with Database(impatient) as database:
        with pytest.raises(DatabaseUnavailableError, match="in time"):
            async with database.keys._transactions.change("ann") as change:
                await change.connection.execute(sa.text(ENDLESS))
        await write_from_elsewhere(sqlite_settings)
        await database.organizations.create(Organization(name="org:next"), actor="ann")


async def test_a_booking_that_takes_too_long_is_ended_and_its_lock_with_it(
    sqlite_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one hop to the driver, of which SQLAlchemy knows nothing."""
    impatient = sqlite_settings.model_copy(update={"database_timeout_secs": 0.5})
    raised = "UPDATE usage_daily SET requests = 1 WHERE ? || ? || ? || ? || ? || ? || ? || ? || ? > ''"
    endless = raised.replace("= 1", f"= ({ENDLESS})")
    async with Database(impatient) as database:
        await book(database, "first")
        with monkeypatch.context() as patch:
            patch.setattr(entries, "SQLITE_RAISE", endless)
            with pytest.raises(DatabaseUnavailableError, match="in time"):
                await book(database, "second")
        await write_from_elsewhere(sqlite_settings)
        await book(database, "second")
        (line,) = await database.usage.report(by="day", first=1, last=1)
        assert line.requests == 2
