"""What has changed since a publisher last looked? A number to poll, and pages of what is new or gone."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database.tables import CHANGES, TOMBSTONES
from gateway.database.transactions import Transactions
from gateway.database.witness import Witness


class Changes:
    """The number of the last change of keys, organizations, models, backends or drains.

    Args:
        transactions: to ask for it.
        witness: says whether it is worth asking; None: nobody can.
    """

    def __init__(self, transactions: Transactions, witness: Witness | None) -> None:
        self._transactions = transactions
        self._witness = witness
        self._commits: int | None = None
        """What the witness said before the number was asked for last; None: it has to be asked for."""
        self._number = 0

    async def number(self) -> int:
        """One row by its key: cheap enough to ask several times a second.

        Compare it for being another, not for being higher: a database that was restored from a copy goes back, and then
        everything is to be read anew.
        """
        commits = self._witness.commits() if self._witness else None
        if commits is not None and commits == self._commits:
            return self._number
        self._commits = None
        async with self._transactions.read() as connection:
            self._number = (await connection.execute(sa.select(CHANGES.c.number))).scalar_one()
        self._commits = commits  # from before: who has committed meanwhile is seen the next time
        return self._number


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
