"""Tests of copies: a file that is in use, and all rows into another kind of database."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from gateway.core.principal import UNLIMITED, AccountLimits
from gateway.core.usage_record import UsageRecord
from gateway.database import copying, revisions
from gateway.database.copying import NotCopiedError
from gateway.database.database import Database
from gateway.database.engine import make_sync_engine
from gateway.database.rows import Backend, KeyProperties, Model, Organization
from gateway.database.settings import DatabaseSettings
from gateway.database.tables import METADATA
from tests.support.ledger import sheets
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.anyio

RECORDS = 2500
"""More than two batches."""


async def fill(database: Database) -> None:
    """Something in every table but `hosts`."""
    limits = AccountLimits(requests_per_minute=7, tokens_per_day=9)
    await database.organizations.create(Organization(name="org:acme", limits=limits), actor="ann")
    bare = await database.organizations.create(Organization(name="org:bare"), actor="ann")
    await database.organizations.delete("org:bare", bare.version, actor="ann")
    await database.models.create(Model(alias="coder", kind="chat", model="m", settings={"a": [1, None]}), actor="ann")
    await database.backends.create(Backend(name="coder0", model="coder", url="http://c:1"), actor="ann")
    await database.backends.drain("coder0", "http://c:1", actor="ann")
    chosen = KeyProperties(organization="org:acme", limits=limits, models=frozenset({"coder"}), metadata={"é": "ß"})
    await database.keys.create(chosen, digest=b"\x00\xff" * 16, prefix="gw-abc", actor="ann")
    records = [UsageRecord(f"r{number}", organization="org:acme", model="coder") for number in range(RECORDS)]
    await database.usage.write("host", sheets(records), "epoch", lambda _: (739_000, 24_322))


def contents(settings: DatabaseSettings) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    engine = make_sync_engine(settings, 5)
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for table in METADATA.sorted_tables
        }


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
async def filled(sqlite_settings: DatabaseSettings) -> AsyncIterator[Database]:
    async with Database(sqlite_settings) as database:
        await fill(database)
        yield database


async def test_everything_comes_to_postgresql_and_back_again(
    filled: Database, sqlite_settings: DatabaseSettings, postgres: PostgresServer, tmp_path: Path
) -> None:
    del filled
    url = postgres.new_database()
    server = sqlite_settings.model_copy(update={"database_url": SecretStr(url)})
    there = await asyncio.to_thread(copying.copy, f"sqlite:///{tmp_path}/data/gateway.db", server)
    before = contents(sqlite_settings)
    assert all(rows for name, rows in before.items() if name != "hosts")
    assert contents(server) == before
    assert there == {name: len(rows) for name, rows in before.items() if name != "hosts"}
    async with Database(server) as moved:
        await moved.organizations.create(Organization(name="org:later"), actor="bob")
        assert len({entry.id for entry in await moved.audit.list()}) == len(before["audit"]) + 1
    back = sqlite_settings.model_copy(update={"database_url": SecretStr(f"sqlite:///{tmp_path}/back.db")})
    assert await asyncio.to_thread(copying.copy, url, back)
    assert contents(back) == contents(server)


async def test_a_database_with_anything_in_it_is_left_as_it_is(
    filled: Database, sqlite_settings: DatabaseSettings, postgres_settings: DatabaseSettings, tmp_path: Path
) -> None:
    del filled
    async with Database(postgres_settings) as other:
        await other.organizations.create(Organization(name="org:mine"), actor="bob")
    before = contents(postgres_settings)
    with pytest.raises(NotCopiedError, match="is not empty"):
        copying.copy(f"sqlite:///{tmp_path}/data/gateway.db", postgres_settings)
    assert contents(postgres_settings) == before
    with pytest.raises(NotCopiedError, match="of the settings itself"):
        copying.copy(f"sqlite:///{sqlite_settings.data_path}/gateway.db", sqlite_settings)


async def test_what_is_not_there_or_of_another_version_is_not_copied(
    postgres_settings: DatabaseSettings, tmp_path: Path
) -> None:
    with pytest.raises(NotCopiedError, match="there is no database"):
        copying.copy(f"sqlite:///{tmp_path}/none.db", postgres_settings)
    assert not (tmp_path / "none.db").exists()
    old = DatabaseSettings(database_url=SecretStr(f"sqlite:///{tmp_path}/old.db"))
    revisions.upgrade(old, "0002")
    with pytest.raises(NotCopiedError, match="at revision 0002"):
        copying.copy(f"sqlite:///{tmp_path}/old.db", postgres_settings)


async def test_a_backup_is_one_moment_of_a_database_that_is_written_to(
    filled: Database, sqlite_settings: DatabaseSettings, tmp_path: Path
) -> None:
    over = False

    async def write() -> int:
        written = 0
        while not over:
            row = UsageRecord(f"w{written}", organization="org:acme", model="coder")
            await filled.usage.write("host", sheets([row]), "epoch", lambda _: (739_000, 24_322))
            written += 1
        return written

    writing = asyncio.create_task(write())
    for number in range(5):
        await asyncio.to_thread(copying.back_up, sqlite_settings, tmp_path / f"{number}.db")
    over = True
    written = await writing
    for number in range(5):
        assert (tmp_path / f"{number}.db").stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(tmp_path / f"{number}.db")) as copied:
            (whole,) = copied.execute("PRAGMA integrity_check").fetchone()
            (records,) = copied.execute("SELECT count(*) FROM usage_sheets").fetchone()
            (summed,) = copied.execute("SELECT sum(requests) FROM usage_daily").fetchone()
        assert whole == "ok"
        assert RECORDS <= records == summed <= RECORDS + written
    assert written > 0
    assert names_in(tmp_path) == {"data", *(f"{number}.db" for number in range(5))}


async def test_a_backup_overwrites_nothing_and_is_for_files_alone(
    filled: Database, sqlite_settings: DatabaseSettings, postgres_settings: DatabaseSettings, tmp_path: Path
) -> None:
    del filled
    target = tmp_path / "kept"
    target.write_text("mine")
    with pytest.raises(NotCopiedError, match="is there already"):
        copying.back_up(sqlite_settings, target)
    assert target.read_text() == "mine"
    with pytest.raises(NotCopiedError, match="pg_dump"):
        copying.back_up(postgres_settings, tmp_path / "new")


async def test_keys_in_a_file_that_is_not_in_use_any_more_are_noticed(
    filled: Database, sqlite_settings: DatabaseSettings, postgres_settings: DatabaseSettings
) -> None:
    assert await filled.keys_left_behind() is None
    async with Database(postgres_settings) as server:
        assert await server.keys_left_behind() == (sqlite_settings.data_path / "gateway.db", 1)
        await server.keys.create(KeyProperties(limits=UNLIMITED), digest=b"d" * 32, prefix="gw-def", actor="ann")
        assert await server.keys_left_behind() is None
