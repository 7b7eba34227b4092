"""Tests of the kept API keys, on both databases."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from gateway.core.principal import AccountLimits, Principal
from gateway.database.database import Database
from gateway.database.errors import ConflictError, NoSuchRecordError, UnfitValueError
from gateway.database.rows import ApiKey, KeyProperties
from tests.database.conftest import HandClock

pytestmark = pytest.mark.anyio

Digests = Callable[[], bytes]
FULL = KeyProperties(
    organization="org:acme",
    name="night jobs",
    models=frozenset({"qwen", "text2sql"}),
    limits=AccountLimits(requests_per_minute=120, tokens_per_month=10**12),
    concurrency=7,
    priority=-1,
    metadata={"team": "Ö"},
    expires=1_900_000_000.5,
)


async def make(database: Database, digests: Digests, properties: KeyProperties = FULL) -> ApiKey:
    return await database.keys.create(properties, digest=digests(), prefix="gw-abcdefgh", actor="ann")


async def changes(database: Database, since: int, most: int = 2000) -> tuple[list[str], list[bytes]]:
    """The ids of changed keys, and the digests of removed ones, in the order of the pages."""
    pages = [page async for page in database.keys.changed_since(since, most=most)]
    return [key.id for page in pages for key in page.keys], [digest for page in pages for digest in page.removed]


async def test_a_key_is_found_by_its_id_as_it_was_made(database: Database, digests: Digests) -> None:
    key = await make(database, digests)
    assert key.properties == FULL
    assert await database.keys.get(key.id) == key


async def test_a_keys_principal_says_what_it_allows(database: Database, digests: Digests) -> None:
    key = await make(database, digests)
    assert key.principal() == Principal(
        organization="org:acme",
        key_id=key.id,
        key_prefix="gw-abcdefgh",
        models=frozenset({"qwen", "text2sql"}),
        limits=FULL.limits,
        concurrency=7,
        priority=-1,
    )


async def test_no_models_at_all_is_not_all_models(database: Database, digests: Digests) -> None:
    for models in (None, frozenset[str]()):
        key = await make(database, digests, KeyProperties(models=models))
        assert (await database.keys.get(key.id)).properties.models == models


async def test_an_unknown_key_is_a_404(database: Database) -> None:
    for attempt in (database.keys.get("key_none"), database.keys.revoke("key_none", actor="ann")):
        with pytest.raises(NoSuchRecordError):
            await attempt


async def test_a_digest_is_kept_once_and_a_refused_change_leaves_no_trace(database: Database, digests: Digests) -> None:
    key = await make(database, digests)
    number = await database.changes.number()
    with pytest.raises(ConflictError):
        await database.keys.create(FULL, digest=key.digest, prefix="gw-other", actor="bob")
    assert await database.changes.number() == number
    assert [entry.actor for entry in await database.audit.list()] == ["ann"]


async def test_a_number_that_no_column_holds_is_the_callers_mistake(database: Database, digests: Digests) -> None:
    with pytest.raises(UnfitValueError):
        await make(database, digests, KeyProperties(concurrency=2**70))


async def test_an_update_at_an_old_version_changes_nothing(database: Database, digests: Digests) -> None:
    key = await make(database, digests)
    first = await database.keys.update(key.id, 1, replace(FULL, name="first"), actor="ann")
    assert first.version == 2
    with pytest.raises(ConflictError):
        await database.keys.update(key.id, 1, replace(FULL, name="second"), actor="bob")
    assert await database.keys.get(key.id) == first


async def test_of_two_updates_at_once_one_wins(database: Database, digests: Digests) -> None:
    key = await make(database, digests)
    outcomes = await asyncio.gather(
        *[database.keys.update(key.id, 1, replace(FULL, name=str(turn)), actor="ann") for turn in range(8)],
        return_exceptions=True,
    )
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, ApiKey)]
    assert all(isinstance(outcome, ConflictError) for outcome in outcomes if outcome is not winner)
    assert await database.keys.get(key.id) == winner


async def test_a_revoked_key_stays_revoked(database: Database, digests: Digests, clock: HandClock) -> None:
    key = await make(database, digests)
    clock.now += 5
    revoked = await database.keys.revoke(key.id, actor="ann")
    assert revoked.revoked == clock.now
    clock.now += 5
    assert await database.keys.revoke(key.id, actor="bob") == revoked
    with pytest.raises(ConflictError):
        await database.keys.update(key.id, revoked.version, FULL, actor="ann")
    with pytest.raises(ConflictError):
        await database.keys.rotate(key.id, revoked.version, digest=digests(), prefix="gw-", overlap=1, actor="ann")
    assert [entry.action for entry in await database.audit.list()] == ["key.revoke", "key.create"]


async def test_a_rotated_key_ends_after_the_overlap_and_the_new_one_is_like_it(
    database: Database, digests: Digests, clock: HandClock
) -> None:
    old = await make(database, digests)
    new = await database.keys.rotate(old.id, 1, digest=digests(), prefix="gw-new", overlap=3600, actor="ann")
    assert new.properties == FULL
    assert (new.prefix, new.version) == ("gw-new", 2)
    old = await database.keys.get(old.id)
    assert (old.properties.expires, old.rotated_to, old.version) == (clock.now + 3600, new.id, 2)
    with pytest.raises(ConflictError):
        await database.keys.rotate(old.id, 2, digest=digests(), prefix="gw-", overlap=1, actor="ann")


async def test_an_overlap_prolongs_no_keys_life_and_an_expired_key_is_not_rotated(
    database: Database, digests: Digests, clock: HandClock
) -> None:
    ends = clock.now + 10
    key = await make(database, digests, replace(FULL, expires=ends))
    await database.keys.rotate(key.id, 1, digest=digests(), prefix="gw-", overlap=3600, actor="ann")
    assert (await database.keys.get(key.id)).properties.expires == ends
    other = await make(database, digests, replace(FULL, expires=ends))
    clock.now = ends
    with pytest.raises(ConflictError):
        await database.keys.rotate(other.id, other.version, digest=digests(), prefix="gw-", overlap=1, actor="ann")


async def test_lists_come_in_pages_oldest_first(database: Database, digests: Digests, clock: HandClock) -> None:
    made = []
    for number in range(5):
        clock.now += 1
        made.append(await make(database, digests, KeyProperties(organization=f"org:{number % 2}")))
    first = await database.keys.list(most=3)
    assert first + await database.keys.list(after=first[-1].id, most=3) == made
    assert await database.keys.list(organization="org:1") == [made[1], made[3]]


async def test_a_publisher_reads_what_changed_and_no_more(database: Database, digests: Digests) -> None:
    keys = [await make(database, digests) for _ in range(4)]
    seen = await database.changes.number()
    assert await changes(database, seen) == ([], [])
    await database.keys.update(keys[2].id, keys[2].version, replace(FULL, name="changed"), actor="ann")
    await database.keys.revoke(keys[0].id, actor="ann")
    assert await changes(database, seen) == ([keys[2].id], [keys[0].digest])
    assert await changes(database, 0) == ([keys[1].id, keys[3].id, keys[2].id], [keys[0].digest])


async def test_pages_of_changes_miss_nothing_where_one_change_touched_several_keys(
    database: Database, digests: Digests
) -> None:
    old = [await make(database, digests) for _ in range(3)]
    new = [
        await database.keys.rotate(key.id, key.version, digest=digests(), prefix="gw-", overlap=60, actor="ann")
        for key in old
    ]
    ids, _ = await changes(database, 0, most=1)
    assert sorted(ids) == sorted(key.id for key in old + new)
    for key in (old[0], new[0]):
        await database.keys.revoke(key.id, actor="ann")
    assert await changes(database, 6, most=1) == ([], [old[0].digest, new[0].digest])


async def test_what_changes_while_pages_are_read_is_not_missed(database: Database, digests: Digests) -> None:
    keys = [await make(database, digests) for _ in range(4)]
    seen: list[ApiKey] = []
    async for page in database.keys.changed_since(0, most=2):
        if not seen:
            await database.keys.update(keys[0].id, keys[0].version, replace(FULL, name="changed"), actor="ann")
        seen += page.keys
    assert seen[-1] == await database.keys.get(keys[0].id)
    assert {key.id for key in seen} == {key.id for key in keys}
