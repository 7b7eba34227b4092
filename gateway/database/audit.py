"""Who changed what? The audit trail, to read; changes write their rows themselves, in their own transactions."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gateway.database.rows import AuditEntry
from gateway.database.tables import AUDIT
from gateway.database.transactions import Transactions


class Audit:
    """The audit trail; the database itself refuses to change or remove an entry."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def list(self, *, target: str | None = None, before: int | None = None, most: int = 100) -> list[AuditEntry]:
        """A page of entries, newest first; `before` is the last id of the page before."""
        statement = sa.select(AUDIT).order_by(AUDIT.c.id.desc()).limit(most)
        if target is not None:
            statement = statement.where(AUDIT.c.target == target)
        if before is not None:
            statement = statement.where(AUDIT.c.id < before)
        async with self._transactions.read() as connection:
            return [AuditEntry(**row) for row in (await connection.execute(statement)).mappings()]

    async def note(self, action: str, target: str, after: Mapping[str, Any], *, actor: str) -> None:
        """Keep that somebody did what changes no row: dropped a cache, for example."""
        async with self._transactions.change(actor) as change:
            await change.record(action, target, None, after)
