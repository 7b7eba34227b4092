"""Tests of organizations, models and backends, which are kept alike, on both databases."""

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from gateway.core.principal import AccountLimits
from gateway.database.database import Database
from gateway.database.errors import ConflictError, NoSuchRecordError
from gateway.database.rows import Backend, Model, Organization
from tests.database.conftest import HandClock

pytestmark = pytest.mark.anyio

ACME = Organization(name="org:acme", limits=AccountLimits(tokens_per_day=5), audit_opt_out=True)
QWEN = Model(alias="fast", kind="chat", model="qwen", settings={"defaults": {"temperature": 0.5}, "fallback": None})
CHAT0 = Backend(name="chat0", model="fast", url="http://chat0:8000", weight=3, active=False)


async def test_what_was_made_is_read_as_it_was(database: Database, clock: HandClock) -> None:
    acme = replace(ACME, created=clock.now, version=1)
    qwen = replace(QWEN, created=clock.now, version=2)
    chat0 = replace(CHAT0, created=clock.now, version=3)
    assert await database.organizations.create(ACME, actor="ann") == acme
    assert await database.models.create(QWEN, actor="ann") == qwen
    assert await database.backends.create(CHAT0, actor="ann") == chat0
    assert await database.organizations.get("org:acme") == acme
    assert await database.models.get("fast") == qwen
    assert await database.backends.get("chat0") == chat0


async def test_the_defaults_of_the_settings_are_not_no_limits(database: Database) -> None:
    for number, limits in enumerate((None, AccountLimits())):
        await database.organizations.create(Organization(name=f"org:{number}", limits=limits), actor="ann")
        assert (await database.organizations.get(f"org:{number}")).limits == limits


async def test_a_limit_that_only_a_later_version_knows_is_passed_over(database: Database) -> None:
    await database.organizations.create(ACME, actor="ann")
    async with database._engine.begin() as connection:
        later = """UPDATE organizations SET limits = '{"tokens_per_day": 5, "images_per_day": 7}'"""
        await connection.execute(sa.text(later.replace(": ", r"\: ")))
    assert (await database.organizations.get("org:acme")).limits == AccountLimits(tokens_per_day=5)


async def test_a_name_is_taken_once(database: Database) -> None:
    await database.organizations.create(ACME, actor="ann")
    with pytest.raises(ConflictError):
        await database.organizations.create(ACME, actor="bob")


async def test_an_update_names_the_version_that_it_changes(database: Database, clock: HandClock) -> None:
    made = await database.models.create(QWEN, actor="ann")
    clock.now += 5
    after = await database.models.update(replace(made, model="other"), 1, actor="ann")
    assert after == replace(made, model="other", version=2)
    with pytest.raises(ConflictError):
        await database.models.update(made, 1, actor="bob")
    with pytest.raises(ConflictError):
        await database.models.delete("fast", 1, actor="bob")
    assert await database.models.get("fast") == after


async def test_what_is_deleted_is_gone_and_may_come_back(database: Database) -> None:
    await database.organizations.create(ACME, actor="ann")
    seen = await database.changes.number()
    await database.organizations.delete("org:acme", 1, actor="ann")
    with pytest.raises(NoSuchRecordError):
        await database.organizations.get("org:acme")
    with pytest.raises(NoSuchRecordError):
        await database.organizations.delete("org:acme", 1, actor="ann")
    assert [page async for page in database.organizations.changed_since(seen)] == [([], ["org:acme"])]
    assert [page async for page in database.organizations.changed_since(await database.changes.number())] == []
    back = await database.organizations.create(ACME, actor="ann")
    assert [page async for page in database.organizations.changed_since(seen)] == [([back], [])]


async def test_a_version_of_an_earlier_life_changes_nothing(database: Database) -> None:
    first = await database.organizations.create(ACME, actor="ann")
    await database.organizations.delete("org:acme", first.version, actor="ann")
    second = await database.organizations.create(ACME, actor="bob")
    with pytest.raises(ConflictError):
        await database.organizations.update(replace(ACME, limits=None), first.version, actor="ann")
    with pytest.raises(ConflictError):
        await database.organizations.delete("org:acme", first.version, actor="ann")
    assert await database.organizations.get("org:acme") == second


async def test_what_an_earlier_release_wrote_is_never_taken_for_what_is_written_now(database: Database) -> None:
    """It counted the changes of each row from 1, and of all rows as now: no row's count is beyond that of all."""
    first = await database.organizations.create(ACME, actor="ann")
    kept = await database.organizations.update(replace(first, limits=None), first.version, actor="ann")
    async with database._engine.begin() as connection:
        await connection.execute(sa.text("UPDATE organizations SET version = 2"))
    after = await database.organizations.update(replace(kept, audit_opt_out=False), 2, actor="ann")
    assert after.version > 2


async def test_lists_come_in_pages(database: Database) -> None:
    rows = [await database.organizations.create(replace(ACME, name=f"org:{name}"), actor="ann") for name in "cab"]
    first = await database.organizations.list(most=2)
    assert first + await database.organizations.list(after=first[-1].name, most=2) == [rows[1], rows[2], rows[0]]


async def test_a_backend_of_any_origin_is_drained_once_and_used_again(database: Database) -> None:
    for _ in range(2):
        await database.backends.drain("chat1", "http://10.0.0.5:8000", actor="ann")
    assert await database.backends.drained() == {"http://10.0.0.5:8000"}
    for _ in range(2):
        await database.backends.undrain("chat1", "http://10.0.0.5:8000", actor="bob")
    assert await database.backends.drained() == frozenset()
    assert [(entry.actor, entry.action) for entry in await database.audit.list()] == [
        ("bob", "backend.undrain"),
        ("ann", "backend.drain"),
    ]


async def test_a_backend_that_an_earlier_release_has_drained_by_its_name_is_used_again(database: Database) -> None:
    await database.backends.drain("chat1", "chat1", actor="ann")
    await database.backends.drain("chat1", "http://10.0.0.5:8000", actor="ann")
    assert await database.backends.drained() == {"chat1"}
    await database.backends.undrain("chat1", "http://10.0.0.5:8000", actor="ann")
    assert await database.backends.drained() == frozenset()
