"""Tests of a database that is away: it is said in time, and all goes well again by itself when it is back."""

import os
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.core.usage_record import UsageRecord
from gateway.database.database import Database
from gateway.database.errors import DatabaseUnavailableError
from gateway.database.rows import Organization
from gateway.database.settings import DatabaseSettings
from tests.support.docker import skip_or_fail
from tests.support.ledger import sheets
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.anyio

TIMEOUT = 1.0
"""DATABASE_TIMEOUT_SECS of these tests."""
PROMPTLY = 8.0
"""For a read and a write that fail; the promise is twice TIMEOUT and twice GRACE_SECS, the rest is a busy machine's."""
DISK_BYTES = 1 << 20


def impatient(settings: DatabaseSettings) -> DatabaseSettings:
    return settings.model_copy(update={"database_timeout_secs": TIMEOUT})


async def use(database: Database, name: str) -> None:
    """Read and write."""
    await database.changes.number()
    await database.organizations.create(Organization(name=name), actor="ann")


async def names(database: Database) -> list[str]:
    """The organizations that were written."""
    return [row.name for row in await database.organizations.list()]


async def refused(database: Database) -> None:
    """Reading and writing both fail, and in time."""
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        await database.changes.number()
    await write_refused(database)
    assert time.monotonic() - began < PROMPTLY


async def write_refused(database: Database) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        await database.organizations.create(Organization(name="org:lost"), actor="ann")
    assert caught.value.status == 503


@pytest.fixture
async def remote(postgres_settings: DatabaseSettings) -> AsyncIterator[Database]:
    async with Database(impatient(postgres_settings)) as database:
        yield database


@pytest.fixture
async def local(sqlite_settings: DatabaseSettings) -> AsyncIterator[Database]:
    async with Database(impatient(sqlite_settings)) as database:
        yield database


@contextmanager
def stopped(server: PostgresServer) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


async def test_a_server_that_was_stopped_is_away_and_comes_back_by_itself(
    remote: Database, postgres: PostgresServer
) -> None:
    await use(remote, "org:before")
    with stopped(postgres):
        await refused(remote)
    await use(remote, "org:after")
    assert await names(remote) == ["org:after", "org:before"]


async def test_a_restart_that_nobody_noticed_fails_nothing(remote: Database, postgres: PostgresServer) -> None:
    await use(remote, "org:before")
    with stopped(postgres):
        pass
    await use(remote, "org:after")
    assert await names(remote) == ["org:after", "org:before"]


async def test_a_server_that_is_away_at_the_start_may_be_tried_again(
    postgres_settings: DatabaseSettings, postgres: PostgresServer
) -> None:
    database = Database(impatient(postgres_settings))
    with stopped(postgres), pytest.raises(DatabaseUnavailableError):
        await database.open()
    async with database:
        await use(database, "org:a")


async def test_a_server_that_stands_still_is_given_up_in_time_and_used_when_it_goes_on(
    remote: Database, postgres: PostgresServer
) -> None:
    await use(remote, "org:before")
    with postgres.frozen():
        await refused(remote)
    await use(remote, "org:after")
    assert await names(remote) == ["org:after", "org:before"], "what was refused was written later"


async def test_a_lock_that_another_holds_for_long_is_not_waited_for(
    remote: Database, postgres_settings: DatabaseSettings
) -> None:
    async with Database(postgres_settings) as other:
        async with other.keys._transactions.change("bob"):
            await write_refused(remote)
            assert await remote.changes.number() == 0
        await use(remote, "org:after")


async def test_all_connections_in_use_is_an_outage_too(postgres_settings: DatabaseSettings) -> None:
    narrow = impatient(postgres_settings).model_copy(update={"database_pool_size": 1})
    async with Database(narrow) as database:
        async with database._engine.connect():
            await refused(database)
        await use(database, "org:after")
        assert await names(database) == ["org:after"]


async def test_a_file_that_another_locks_can_be_read_and_is_written_when_it_is_free(
    local: Database, sqlite_settings: DatabaseSettings
) -> None:
    other = sqlite3.connect(sqlite_settings.data_path / "gateway.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert await local.changes.number() == 0
    await write_refused(local)
    other.execute("ROLLBACK")
    other.close()
    await use(local, "org:after")


async def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(DatabaseUnavailableError, match="not a database"):
        await Database(DatabaseSettings(data_path=tmp_path)).open()


async def test_a_folder_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailableError, match="cannot be opened"):
        await Database(DatabaseSettings(data_path=tmp_path / "file" / "data")).open()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        skip_or_fail("only root can mount a small disk")
    made = subprocess.run(  # noqa: S603 -- fixed words
        ["/usr/bin/mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], check=False
    )
    if made.returncode:
        skip_or_fail("no small disk can be mounted here")
    yield folder
    subprocess.run(["/usr/bin/umount", "--lazy", folder], check=True)  # noqa: S603 -- fixed words


async def book(database: Database, name: str) -> int:
    """Book 100 requests whose ids begin with the name."""
    records = [UsageRecord(f"{name}-{number}") for number in range(100)]
    return (await database.usage.write("host", sheets(records), "e", lambda _: (1, 1))).records


async def book_for_ever(database: Database, batches: list[int]) -> None:
    """Book until it fails; what was booked is appended to `batches`."""
    while True:
        batches.append(await book(database, str(len(batches))))


async def test_a_full_disk_loses_nothing_that_was_booked_and_is_written_to_again_when_there_is_room(
    small_disk: Path,
) -> None:
    ballast = small_disk / "ballast"
    settings = DatabaseSettings(data_path=small_disk, database_timeout_secs=TIMEOUT)
    async with Database(settings) as database:
        ballast.write_bytes(bytes(DISK_BYTES // 4))
        batches: list[int] = []
        with pytest.raises(DatabaseUnavailableError, match=r"full|disk I/O"):
            await book_for_ever(database, batches)
        booked = sum(batches)
        assert [line.requests for line in await database.usage.report(by="day", first=0, last=9)] == [booked]
        ballast.unlink()
        assert await book(database, "later") == 100
        assert [line.requests for line in await database.usage.report(by="day", first=0, last=9)] == [booked + 100]
