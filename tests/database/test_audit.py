"""Tests of the audit trail, on both databases."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError

from gateway.core.principal import AccountLimits
from gateway.database import revisions
from gateway.database.database import Database
from gateway.database.rows import KeyProperties, Organization
from gateway.database.settings import DatabaseSettings
from tests.database.conftest import HandClock

pytestmark = pytest.mark.anyio

REWRITTEN = """INTO audit SELECT id, at, 'nobody', action, target, "before", "after" FROM audit WHERE true"""
REPLACE = f"INSERT OR REPLACE {REWRITTEN}"
UPSERT = f"INSERT {REWRITTEN} ON CONFLICT (id) DO UPDATE SET actor = excluded.actor"


async def test_an_entry_says_who_did_what_and_what_it_was_before_and_after(
    database: Database, digests: Callable[[], bytes], clock: HandClock
) -> None:
    chosen = KeyProperties(models=frozenset("ba"), limits=AccountLimits(requests_per_day=5))
    key = await database.keys.create(chosen, digest=digests(), prefix="gw-abc", actor="ann")
    await database.keys.update(key.id, 1, replace(chosen, models=None), actor="bob")
    (entry,) = await database.audit.list(most=1)
    assert (entry.at, entry.actor, entry.action, entry.target) == (clock.now, "bob", "key.update", key.id)
    assert entry.before is not None
    assert entry.after is not None
    assert entry.before["models"] == ["a", "b"]
    assert entry.before["limits"] == {"requests_per_day": 5}
    assert entry.before | {"models": None, "version": 2} == entry.after
    assert "digest" not in entry.after


async def test_entries_come_in_pages_newest_first_and_by_target(database: Database) -> None:
    for name in ("org:a", "org:b", "org:c"):
        await database.organizations.create(Organization(name=name), actor="ann")
    first = await database.audit.list(most=2)
    assert [entry.target for entry in first] == ["org:c", "org:b"]
    assert [entry.target for entry in await database.audit.list(before=first[-1].id)] == ["org:a"]
    assert [entry.target for entry in await database.audit.list(target="org:b")] == ["org:b"]


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit", REPLACE, UPSERT]
)
async def test_the_database_itself_refuses_to_change_an_entry(
    settings: DatabaseSettings, database: Database, statement: str
) -> None:
    if statement.startswith("TRUNCATE") and not settings.database_url.get_secret_value():
        statement = "DELETE FROM audit WHERE true"  # SQLite's word for it
    if statement == REPLACE and settings.database_url.get_secret_value():
        statement = UPSERT  # PostgreSQL's
    await database.organizations.create(Organization(name="org:a"), actor="ann")
    with pytest.raises(DBAPIError, match="append-only"):
        async with database._engine.begin() as connection:
            await connection.execute(sa.text(statement))
    assert [entry.actor for entry in await database.audit.list()] == ["ann"]


async def test_what_was_written_under_an_earlier_revision_is_kept(
    settings: DatabaseSettings, database: Database
) -> None:
    revisions.downgrade(settings, "0005")
    await database.organizations.create(Organization(name="org:a"), actor="ann")
    revisions.upgrade(settings)
    await database.organizations.create(Organization(name="org:b"), actor="bob")
    assert [entry.actor for entry in await database.audit.list()] == ["bob", "ann"]
