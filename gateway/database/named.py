"""How is what has a name kept? One repository for organizations, models and backends, as their rows differ alone."""

from collections.abc import AsyncIterator
from typing import Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from msgspec.structs import asdict, replace
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.database.changes import buried, changed_rows
from gateway.database.errors import ConflictError, NoSuchRecordError
from gateway.database.rows import Backend, Model, Organization, described
from gateway.database.tables import DRAINED_BACKENDS
from gateway.database.transactions import Transactions

Row = TypeVar("Row", Organization, Model, Backend)


class NamedChanges(NamedTuple, Generic[Row]):
    """One page of changes: rows as they are now, and the names of those that are gone."""

    rows: list[Row]
    removed: list[str]


class Named(Generic[Row]):
    """Rows by name; each change is one transaction with its row of the audit trail.

    Args:
        transactions: the database.
        kind: what a row is, for the audit trail and for people.
        table: whose first primary key column is the name, and whose columns are called as the row's fields.
        of: the type of its rows.
    """

    def __init__(self, transactions: Transactions, kind: str, table: sa.Table, of: type[Row]) -> None:
        self._transactions = transactions
        self._kind = kind
        self._table = table
        self._of: type[Row] = of
        self._name = table.primary_key.columns[0]

    async def get(self, name: str) -> Row:
        """The row of that name.

        Raises:
            NoSuchRecordError: there is none.
        """
        async with self._transactions.read() as connection:
            return await self._read(connection, name)

    async def list(self, *, after: str = "", most: int = 100) -> list[Row]:
        """A page of rows in the order of their names; `after` is the last name of the page before."""
        statement = sa.select(self._table).where(self._name > after).order_by(self._name).limit(most)
        async with self._transactions.read() as connection:
            return [self._row(found) for found in (await connection.execute(statement)).mappings()]

    async def create(self, row: Row, *, actor: str) -> Row:
        """Keep a new row.

        Raises:
            ConflictError: the name is taken.
        """
        async with self._transactions.change(actor) as change:
            made = replace(row, created=change.at, version=change.number)
            await change.connection.execute(sa.insert(self._table).values(**asdict(made), changed=change.number))
            await change.unearth(self._kind, self._name_of(made))
            await change.record(f"{self._kind}.create", self._name_of(made), None, described(made))
        return made

    async def update(self, row: Row, expected_version: int, *, actor: str) -> Row:
        """Replace the row of the same name.

        Raises:
            NoSuchRecordError: there is none.
            ConflictError: it is not at the expected version.
        """
        name = self._name_of(row)
        async with self._transactions.change(actor) as change:
            before = await self._read(change.connection, name)
            self._refuse_version(before, expected_version)
            after = replace(row, created=before.created, version=change.number)
            statement = sa.update(self._table).where(self._name == name)
            await change.connection.execute(statement.values(**asdict(after), changed=change.number))
            await change.record(f"{self._kind}.update", name, described(before), described(after))
        return after

    async def delete(self, name: str, expected_version: int, *, actor: str) -> None:
        """Forget the row.

        Raises:
            NoSuchRecordError: there is none.
            ConflictError: it is not at the expected version.
        """
        async with self._transactions.change(actor) as change:
            before = await self._read(change.connection, name)
            self._refuse_version(before, expected_version)
            await change.connection.execute(sa.delete(self._table).where(self._name == name))
            await change.bury(self._kind, name)
            await change.record(f"{self._kind}.delete", name, described(before), None)

    async def changed_since(self, number: int, *, most: int = 2000) -> AsyncIterator[NamedChanges[Row]]:
        """What changed after change `number`, in pages, as `Keys.changed_since` has it."""
        async for found in changed_rows(self._transactions, self._table, number, most):
            yield NamedChanges([self._row(values) for values in found], [])
        async for names in buried(self._transactions, self._kind, number, most):
            yield NamedChanges([], list(names))

    async def _read(self, connection: AsyncConnection, name: str) -> Row:
        found = (await connection.execute(sa.select(self._table).where(self._name == name))).mappings().one_or_none()
        if found is None:
            raise NoSuchRecordError(f"there is no such {self._kind}")
        return self._row(found)

    def _refuse_version(self, row: Row, expected: int) -> None:
        if row.version != expected:
            raise ConflictError(f"the {self._kind} is at version {row.version}, not {expected}: read it again")

    def _row(self, values: sa.RowMapping) -> Row:
        row: Row = self._of(**{name: values[name] for name in self._of.__struct_fields__})
        return row

    def _name_of(self, row: Row) -> str:
        return str(getattr(row, self._name.name))


class Backends(Named[Backend]):
    """Backends, and the list of servers that get no more requests, which may be the settings' own.

    A server is spelled there as `fleet.drains` has it.
    """

    async def drain(self, name: str, server: str, *, actor: str) -> None:
        """Send the backend of that name, which is that server, nothing more; nothing changes if that is so already."""
        async with self._transactions.change(actor) as change:
            if await self._drained(change.connection, name, server):
                return
            await change.connection.execute(sa.insert(DRAINED_BACKENDS).values(name=server, since=change.at))
            await change.record("backend.drain", name, None, {"since": change.at, "server": server})

    async def undrain(self, name: str, server: str, *, actor: str) -> None:
        """Use it again; nothing changes if that is so already."""
        async with self._transactions.change(actor) as change:
            if not await self._drained(change.connection, name, server):
                return
            listed = DRAINED_BACKENDS.c.name.in_((name, server))
            await change.connection.execute(sa.delete(DRAINED_BACKENDS).where(listed))
            await change.record("backend.undrain", name, {"drained": True, "server": server}, None)

    async def drained(self) -> frozenset[str]:
        """All servers that are drained."""
        async with self._transactions.read() as connection:
            return frozenset((await connection.execute(sa.select(DRAINED_BACKENDS.c.name))).scalars())

    async def _drained(self, connection: AsyncConnection, *spellings: str) -> bool:
        found = await connection.execute(
            sa.select(DRAINED_BACKENDS.c.name).where(DRAINED_BACKENDS.c.name.in_(spellings))
        )
        return found.first() is not None
