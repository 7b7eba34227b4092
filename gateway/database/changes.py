"""What has changed since a publisher last looked? A number to poll, and pages of what is new or gone."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database.tables import CHANGES, TOMBSTONES
from gateway.database.transactions import Transactions


class Changes:
    """The number of the last change of keys, organizations, models, backends or drains."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def number(self) -> int:
        """One row by its key: cheap enough to ask several times a second.

        Compare it for being another, not for being higher: a database that was restored from a copy goes back, and then
        everything is to be read anew.
        """
        async with self._transactions.read() as connection:
            number: int = (await connection.execute(sa.select(CHANGES.c.number))).scalar_one()
        return number


async def changed_rows(
    transactions: Transactions, table: sa.Table, since: int, most: int
) -> AsyncIterator[Sequence[sa.RowMapping]]:
    """The rows that changed after change `since`, oldest change first, in pages of their own transactions.

    A row that changes meanwhile moves on to a later page: none is missed, one may come twice.
    """
    key = table.primary_key.columns[0]
    last: tuple[int, Any] = (since, None)
    while True:
        changed, name = last
        later = table.c.changed > changed
        if name is not None:
            later = sa.or_(later, sa.and_(table.c.changed == changed, key > name))
        statement = sa.select(table).where(later).order_by(table.c.changed, key).limit(most)
        async with transactions.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        if rows:
            yield rows
        if len(rows) < most:
            return
        last = (rows[-1]["changed"], rows[-1][key.name])


async def buried(transactions: Transactions, kind: str, since: int, most: int) -> AsyncIterator[Sequence[str]]:
    """The names of what was removed after change `since` and has not come back, in pages."""
    last = ""
    while True:
        statement = (
            sa.select(TOMBSTONES.c.name)
            .where(TOMBSTONES.c.kind == kind, TOMBSTONES.c.changed > since, TOMBSTONES.c.name > last)
            .order_by(TOMBSTONES.c.name)
            .limit(most)
        )
        async with transactions.read() as connection:
            names = (await connection.execute(statement)).scalars().all()
        if names:
            yield names
        if len(names) < most:
            return
        last = names[-1]
