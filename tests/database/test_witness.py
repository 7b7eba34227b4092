"""Whoever writes into the SQLite file is seen, at the next look, and nothing else is."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.database.changes import Changes
from gateway.database.database import Database
from gateway.database.engine import make_async_engine
from gateway.database.rows import Organization
from gateway.database.settings import DatabaseSettings
from gateway.database.transactions import Transactions
from gateway.database.witness import Witness, witness_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(sqlite_settings: DatabaseSettings) -> Path:
    return sqlite_settings.data_path / "gateway.db"


WRITES = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("UPDATE changes SET number = 7")
"""


def test_a_commit_of_another_connection_or_process_is_seen_once(path: Path) -> None:
    witness = Witness(path)
    before = witness.commits()
    assert before is not None
    assert witness.commits() == before
    with sqlite3.connect(path) as other:
        other.execute("UPDATE changes SET number = 1")
    other.close()
    ours = witness.commits()
    assert ours != before
    assert witness.commits() == ours
    subprocess.run([sys.executable, "-c", WRITES, path], check=True)  # noqa: S603 -- this interpreter
    assert witness.commits() not in {before, ours}
    witness.close()


def test_what_is_rolled_back_is_no_commit(path: Path) -> None:
    witness = Witness(path)
    before = witness.commits()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE changes SET number = 1")
    assert witness.commits() == before
    other.execute("ROLLBACK")
    other.close()
    assert witness.commits() == before
    witness.close()


def test_a_file_that_is_not_there_or_is_none_of_sqlites_says_nothing_and_is_not_made(path: Path) -> None:
    missing = Witness(path.with_name("missing.db"))
    assert missing.commits() is None
    assert not path.with_name("missing.db").exists()
    shutil.copy(path, path.with_name("missing.db"))
    assert missing.commits() is not None  # it came later
    missing.close()
    path.with_name("other").write_bytes(b"text " * 1000)
    assert Witness(path.with_name("other")).commits() is None


def test_another_connection_is_never_taken_for_the_one_before(path: Path) -> None:
    """SQLite counts anew for each, so the file may be another one with the same number."""
    witness = Witness(path)
    before = witness.commits()
    witness.close()
    assert witness.commits() != before
    witness.close()


def test_servers_and_memory_have_no_witness() -> None:
    for url in ("postgresql://host/name", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=ro&uri=true"):
        assert witness_of(sa.make_url(url)) is None


async def test_while_nobody_writes_the_number_is_asked_for_once(sqlite_settings: DatabaseSettings, path: Path) -> None:
    asked = 0
    engine = make_async_engine(sqlite_settings)

    def count(*_: object) -> None:
        nonlocal asked
        asked += 1

    sa.event.listen(engine.sync_engine, "before_cursor_execute", count)
    witness = Witness(path)
    async with Database(sqlite_settings) as other:
        changes = Changes(Transactions(engine, 5.0, other.changes._transactions.clock), witness)
        assert [await changes.number() for _ in range(10)] == [0] * 10
        assert asked == 1
        await other.organizations.create(Organization(name="org:a"), actor="ann")
        assert [await changes.number() for _ in range(10)] == [1] * 10
        assert asked == 2
    witness.close()
    await engine.dispose()


async def test_what_is_committed_while_the_number_is_asked_for_is_seen_at_last(
    sqlite_settings: DatabaseSettings,
) -> None:
    async with Database(sqlite_settings) as ours, Database(sqlite_settings) as other:
        for turn in range(1, 20):
            await asyncio.gather(
                ours.changes.number(), other.organizations.create(Organization(name=f"org:{turn}"), actor="ann")
            )
            assert await ours.changes.number() == turn
