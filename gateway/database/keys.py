"""Which API keys are there? They are kept by digest, revoked ones too; a key itself is never here."""

import secrets
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec.structs import asdict, replace
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.principal import AccountLimits
from gateway.database.changes import changed_rows
from gateway.database.errors import ConflictError, NoSuchRecordError
from gateway.database.rows import ApiKey, KeyProperties, described
from gateway.database.tables import API_KEYS
from gateway.database.transactions import Change, Transactions

LIMITS = AccountLimits.__struct_fields__
PLAIN = tuple(name for name in KeyProperties.__struct_fields__ if name != "limits")
STANDING = tuple(name for name in ApiKey.__struct_fields__ if name != "properties")


class KeyChanges(NamedTuple):
    """One page of changes.

    Attributes:
        keys: as they are now; none of them is revoked. Expired ones are among them: time passes without a change.
        removed: digests of keys that are revoked.
    """

    keys: list[ApiKey]
    removed: list[bytes]


class Keys:
    """API keys; each change is one transaction with its row of the audit trail."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def create(self, properties: KeyProperties, *, digest: bytes, prefix: str, actor: str) -> ApiKey:
        """Keep a new key.

        Raises:
            ConflictError: the digest is known.
        """
        async with self._transactions.change(actor) as change:
            key = await _insert(change, properties, digest, prefix)
            await change.record("key.create", key.id, None, described(key))
        return key

    async def get(self, key_id: str) -> ApiKey:
        """The key of that id.

        Raises:
            NoSuchRecordError: there is none.
        """
        async with self._transactions.read() as connection:
            return await _read(connection, key_id)

    async def list(self, *, organization: str | None = None, after: str = "", most: int = 100) -> list[ApiKey]:
        """A page of keys, oldest first, revoked ones too; `after` is the last id of the page before."""
        statement = sa.select(API_KEYS).where(API_KEYS.c.id > after).order_by(API_KEYS.c.id).limit(most)
        if organization is not None:
            statement = statement.where(API_KEYS.c.organization == organization)
        async with self._transactions.read() as connection:
            return [_key(row) for row in (await connection.execute(statement)).mappings()]

    async def update(self, key_id: str, expected_version: int, properties: KeyProperties, *, actor: str) -> ApiKey:
        """Replace what an operator chose.

        Raises:
            NoSuchRecordError: there is no such key.
            ConflictError: it is no longer at the expected version, or is revoked.
        """
        async with self._transactions.change(actor) as change:
            before = await _read(change.connection, key_id)
            _refuse_revoked(before)
            after = replace(before, properties=properties, version=change.number)
            await _update(change, before, after, expected_version)
            await change.record("key.update", key_id, described(before), described(after))
        return after

    async def revoke(self, key_id: str, *, actor: str) -> ApiKey:
        """Refuse the key from now on, whoever changed it last; a revoked one is left as it is.

        Raises:
            NoSuchRecordError: there is no such key.
        """
        async with self._transactions.change(actor) as change:
            before = await _read(change.connection, key_id)
            if before.revoked is not None:
                return before
            after = replace(before, revoked=change.at, version=change.number)
            await _update(change, before, after, before.version)
            await change.record("key.revoke", key_id, described(before), described(after))
        return after

    async def rotate(
        self, key_id: str, expected_version: int, *, digest: bytes, prefix: str, overlap: float, actor: str
    ) -> ApiKey:
        """Keep a new key with the properties of the old one, which ends `overlap` seconds from now, or earlier.

        Returns:
            The new key; it expires when the old one would have.

        Raises:
            NoSuchRecordError: there is no such key.
            ConflictError: it is not at the expected version, is revoked, expired, or rotated already.
        """
        async with self._transactions.change(actor) as change:
            old = await _read(change.connection, key_id)
            _refuse_revoked(old)
            ends = old.properties.expires
            if old.rotated_to is not None or (ends is not None and ends <= change.at):
                raise ConflictError("the key was rotated already, or has expired")
            last = change.at + overlap
            parting = replace(old.properties, expires=last if ends is None else min(ends, last))
            new = await _insert(change, old.properties, digest, prefix)
            after = replace(old, properties=parting, rotated_to=new.id, version=change.number)
            await _update(change, old, after, expected_version)
            await change.record("key.create", new.id, None, described(new))
            await change.record("key.rotate", key_id, described(old), described(after))
        return new

    async def changed_since(self, number: int, *, most: int = 2000) -> AsyncIterator[KeyChanges]:
        """What changed after change `number`, in pages; 0 for all there is.

        Ask `changes.number()` before, and go on from there the next time: what changes while the pages are read is then
        read again.
        """
        async for rows in changed_rows(self._transactions, API_KEYS, number, most):
            keys = [_key(row) for row in rows]
            yield KeyChanges(
                [key for key in keys if key.revoked is None], [key.digest for key in keys if key.revoked is not None]
            )


def new_id(at: float) -> str:
    """An id that sorts behind those of earlier milliseconds."""
    return f"key_{int(at * 1000):012x}{secrets.token_hex(6)}"


async def _read(connection: AsyncConnection, key_id: str) -> ApiKey:
    row = (await connection.execute(sa.select(API_KEYS).where(API_KEYS.c.id == key_id))).mappings().one_or_none()
    if row is None:
        raise NoSuchRecordError("there is no such key")
    return _key(row)


async def _insert(change: Change, properties: KeyProperties, digest: bytes, prefix: str) -> ApiKey:
    key = ApiKey(
        id=new_id(change.at),
        digest=digest,
        prefix=prefix,
        properties=properties,
        created=change.at,
        version=change.number,
    )
    await change.connection.execute(sa.insert(API_KEYS).values(**_columns(key), changed=change.number))
    return key


async def _update(change: Change, before: ApiKey, after: ApiKey, expected_version: int) -> None:
    _refuse_version(before, expected_version)  # it stays what was read: changes follow each other
    statement = sa.update(API_KEYS).where(API_KEYS.c.id == before.id)
    await change.connection.execute(statement.values(**_columns(after), changed=change.number))


def _refuse_version(key: ApiKey, expected: int) -> None:
    if key.version != expected:
        raise ConflictError(f"the key is at version {key.version}, not {expected}: read it again")


def _refuse_revoked(key: ApiKey) -> None:
    if key.revoked is not None:
        raise ConflictError("the key is revoked")


def _columns(key: ApiKey) -> dict[str, Any]:
    standing = {name: getattr(key, name) for name in STANDING}
    chosen = {name: getattr(key.properties, name) for name in PLAIN}
    return {**standing, **chosen, **asdict(key.properties.limits)}


def _key(row: sa.RowMapping) -> ApiKey:
    limits = AccountLimits(**{name: row[name] for name in LIMITS})
    properties = KeyProperties(limits=limits, **{name: row[name] for name in PLAIN})
    return ApiKey(properties=properties, **{name: row[name] for name in STANDING})
