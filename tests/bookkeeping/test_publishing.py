"""What the database says of keys is what workers read, soon after it was said."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.bookkeeping.publishing import SWEEP_SECS, Publishing
from gateway.catalog.publisher import Publisher
from gateway.catalog.reader import Catalog
from gateway.catalog.records import (
    KeyEntry,
    decode_key,
    decode_organization,
    key_record,
    opt_out_record,
    organization_record,
)
from gateway.catalog.settings import CatalogSettings
from gateway.core.clock import SystemClock
from gateway.core.principal import AccountLimits
from gateway.database.database import Database
from gateway.database.rows import ApiKey, KeyProperties, Organization
from gateway.database.settings import DatabaseSettings
from gateway.observability.metrics import Metrics

pytestmark = pytest.mark.anyio

LIMITS = AccountLimits(requests_per_minute=7)


async def no_models() -> bytes:
    """There are none but the settings' own."""
    return b""


class HandClock(SystemClock):
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def wall(self) -> float:
        return self.now


class Press:
    """A database, who publishes it, and a worker's view of what was published."""

    def __init__(self, folder: Path, settings: DatabaseSettings) -> None:
        self.clock = HandClock()
        self.database = Database(settings, self.clock)
        self.publisher = Publisher(folder, self.clock)
        self.publishing = Publishing(self.database, self.publisher, self.clock, Metrics(), no_models)
        self.catalog = Catalog(folder, CatalogSettings(), self.clock)
        self.catalog.open()
        self._made = 0

    async def key(self, **chosen: Any) -> ApiKey:
        """A new key."""
        self._made += 1
        properties = KeyProperties(**{"organization": "org:acme", **chosen})
        return await self.database.keys.create(
            properties, digest=self._made.to_bytes(32, "big"), prefix="gw-12345678", actor="test"
        )

    def knows(self, key: ApiKey) -> bool:
        """Whether workers know it."""
        return self.entry(key.digest) is not None

    def entry(self, digest: bytes) -> KeyEntry | None:
        """What workers know of that key."""
        found = self.record(key_record(digest))
        return None if found is None else decode_key(found)

    def limits(self, name: str) -> AccountLimits | None:
        """What workers know of that organization."""
        found = self.record(organization_record(name))
        return None if found is None else decode_organization(found).limits

    def opted_out(self, name: str) -> bool:
        """Whether workers know that no text of its requests may be kept."""
        return self.record(opt_out_record(name)) == name.encode()

    def record(self, name: bytes) -> bytes | None:
        """As it stands in the tree, which no process may open a second time, as a reader here would."""
        assert self.publisher._environment is not None
        tree = self.publisher._environment.begin(None, None, False)  # noqa: FBT003 -- LMDB's
        try:
            return tree.get(name)
        finally:
            tree.abort()

    async def close(self) -> None:
        self.catalog.close()
        self.publisher.close()
        await self.database.close()


@pytest.fixture
async def press(tmp_path: Path) -> AsyncIterator[Press]:
    made = Press(tmp_path / "catalog", DatabaseSettings(data_path=tmp_path / "data"))
    await made.publishing.turn()
    yield made
    await made.close()


async def test_the_first_look_makes_the_database_and_publishes_it(press: Press) -> None:
    assert press.catalog.fresh
    assert press.entry(b"\0" * 32) is None


async def test_a_key_is_known_when_it_was_made_and_unknown_when_it_was_revoked(press: Press) -> None:
    first = await press.key()
    await press.publishing.turn()
    entry = press.entry(first.digest)
    assert entry is not None
    assert entry.principal == first.principal()
    await press.database.keys.revoke(first.id, actor="test")
    await press.publishing.turn()
    assert not press.knows(first)


async def test_nothing_is_published_while_nothing_changes(press: Press) -> None:
    await press.key()
    await press.publishing.turn()
    version = press.catalog.version()
    await press.publishing.turn()
    assert press.catalog.version() == version


async def test_a_key_that_has_expired_leaves_the_catalog(press: Press) -> None:
    key = await press.key(expires=press.clock.now + 10)
    over = await press.key(expires=press.clock.now - 10)
    await press.publishing.turn()
    assert press.knows(key)
    assert not press.knows(over)
    press.clock.now += SWEEP_SECS
    await press.publishing.turn()
    assert not press.knows(key)


async def test_a_key_whose_time_was_cut_short_leaves_with_the_change(press: Press) -> None:
    key = await press.key()
    await press.publishing.turn()
    await press.database.keys.update(key.id, 1, KeyProperties(expires=press.clock.now - 1), actor="test")
    await press.publishing.turn()
    assert not press.knows(key)


async def test_an_organizations_limits_come_and_go(press: Press) -> None:
    made = await press.database.organizations.create(Organization(name="org:acme", limits=LIMITS), actor="test")
    await press.publishing.turn()
    assert press.limits("org:acme") == LIMITS
    await press.database.organizations.delete("org:acme", made.version, actor="test")
    await press.publishing.turn()
    assert press.limits("org:acme") is None


async def test_what_was_published_of_organizations_is_told_beside_them(press: Press) -> None:
    async def more(name: str) -> Organization:
        return await press.database.organizations.create(Organization(name=name, limits=LIMITS), actor="test")

    gone = await more("org:gone")
    another = Publishing(press.database, press.publisher, press.clock, Metrics(), no_models)
    assert another.limits is None
    await another.turn()  # all there is
    assert another.limits == {"org:gone": LIMITS}
    await more("org:acme")
    await press.database.organizations.delete("org:gone", gone.version, actor="test")
    await another.turn()  # what has changed
    assert another.limits == {"org:acme": LIMITS}


async def test_an_opt_out_of_the_audit_comes_and_goes(press: Press) -> None:
    kept = Organization(name="org:kept", audit_opt_out=True)
    kept = await press.database.organizations.create(kept, actor="test")
    gone = await press.database.organizations.create(replace(kept, name="org:gone"), actor="test")
    await press.publishing.turn()  # all there is
    assert press.opted_out("org:kept")
    assert press.opted_out("org:gone")
    await press.database.organizations.update(replace(kept, audit_opt_out=False), kept.version, actor="test")
    await press.database.organizations.delete("org:gone", gone.version, actor="test")
    await press.database.organizations.create(replace(kept, name="org:new", audit_opt_out=True), actor="test")
    await press.publishing.turn()  # what has changed
    assert not press.opted_out("org:kept")
    assert not press.opted_out("org:gone")
    assert press.opted_out("org:new")


async def test_the_next_publisher_publishes_all_there_is_and_nothing_else(press: Press, tmp_path: Path) -> None:
    key = await press.key()
    await press.publishing.turn()
    other = Press(tmp_path / "catalog", DatabaseSettings(data_path=tmp_path / "other"))
    await other.publishing.turn()
    assert press.knows(key)  # another process has the duty
    press.publisher.close()
    await other.publishing.turn()
    assert not other.knows(key)
    await other.close()


async def test_a_database_that_was_restored_from_a_copy_is_read_anew(press: Press, tmp_path: Path) -> None:
    kept = await press.key()
    await press.publishing.turn()
    await press.database.close()
    shutil.copy(tmp_path / "data" / "gateway.db", tmp_path / "copy")
    lost = await press.key()
    await press.key()
    await press.publishing.turn()
    assert press.knows(lost)
    await press.database.close()
    for file in (tmp_path / "data").glob("gateway.db*"):
        file.unlink()
    shutil.copy(tmp_path / "copy", tmp_path / "data" / "gateway.db")
    await press.publishing.turn()
    assert press.knows(kept)
    assert not press.knows(lost)


async def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"no folder")
    press = Press(tmp_path / "catalog", DatabaseSettings(data_path=tmp_path / "data"))
    assert not press.catalog.settled
    await press.publishing.turn()
    assert not press.catalog.fresh
    assert press.catalog.settled  # no better is to be had for now
    (tmp_path / "data").unlink()
    await press.publishing.turn()
    assert press.catalog.fresh
    await press.close()
