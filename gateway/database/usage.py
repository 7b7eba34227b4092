"""How much was used? The ledger: each request once, and sums by day from which reports and quotas are made."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from msgspec.structs import asdict
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.usage_record import UsageRecord
from gateway.database.rows import AccountUse, Usage
from gateway.database.settings import DatabaseSettings
from gateway.database.tables import USAGE_DAILY, USAGE_RECORDS
from gateway.database.transactions import Transactions

By = Literal["key", "organization", "model", "day"]
HEADINGS: dict[By, sa.Column[Any]] = {
    "key": USAGE_DAILY.c.key_id,
    "organization": USAGE_DAILY.c.organization,
    "model": USAGE_DAILY.c.model,
    "day": USAGE_DAILY.c.day,
}
COUNTED = (USAGE_DAILY.c.requests, USAGE_DAILY.c.prompt_tokens, USAGE_DAILY.c.completion_tokens)
DAY_SECS = 86400.0


class Ledger:
    """Usage records and their daily sums.

    Days and months are ordinals of the operator's calendar, which the caller has: each day's is one more than
    that of the day before, each month's likewise.
    """

    def __init__(self, transactions: Transactions, settings: DatabaseSettings) -> None:
        self._transactions = transactions
        self._records_days = settings.usage_retention_days
        self._daily_days = settings.usage_daily_retention_days

    async def write(
        self, records: Iterable[UsageRecord], epoch: str, windows: Callable[[float], tuple[int, int]]
    ) -> int:
        """Book records, all of them or none; one that is booked already is passed over, whatever it says now.

        Args:
            records: some hundreds at a time; each holds its transaction's locks no longer than needed.
            epoch: the life of the host's counters in which they were made.
            windows: the day and the month that a time in seconds since 1970 belongs to.

        Returns:
            How many were new.
        """
        rows: dict[str, dict[str, Any]] = {}
        for record in records:
            day, month = windows(record.ended_at)
            rows.setdefault(record.request_id, {**asdict(record), "epoch": epoch, "day": day, "month": month})
        if not rows:
            return 0
        # In one order on all hosts: two that book the same records wait for each other, and never in a circle.
        batch = [rows[request_id] for request_id in sorted(rows)]
        async with self._transactions.write() as connection:
            new = await self._insert(connection, batch)
            if new:
                await self._add(connection, summed(rows[request_id] for request_id in new))
        return len(new)

    async def sums(self, day: int, month: int, *, except_epoch: str) -> list[AccountUse]:
        """What each account has used of that day and of the month around it, but for what `except_epoch` counted."""
        tokens = USAGE_DAILY.c.prompt_tokens + USAGE_DAILY.c.completion_tokens
        today = USAGE_DAILY.c.day == day
        columns = (
            sa.func.sum(sa.case((today, USAGE_DAILY.c.requests), else_=0)),
            sa.func.sum(sa.case((today, tokens), else_=0)),
            sa.func.sum(USAGE_DAILY.c.requests),
            sa.func.sum(tokens),
        )
        found: list[AccountUse] = []
        async with self._transactions.read() as connection:
            organization, key = USAGE_DAILY.c.organization, USAGE_DAILY.c.key_id
            for account, prefix, whose in ((organization, "", sa.literal("")), (key, "key:", organization)):
                statement = (
                    sa.select(account, whose, *columns)
                    .where(USAGE_DAILY.c.month == month, USAGE_DAILY.c.epoch != except_epoch, account != "")
                    .group_by(account, *((whose,) if prefix else ()))
                )
                for name, of, *numbers in await connection.execute(statement):
                    requests, used, in_month, used_in_month = map(int, numbers)
                    found.append(AccountUse(f"{prefix}{name}", requests, used, in_month, used_in_month, of))
        return found

    async def report(  # noqa: PLR0913 -- a report's heading, its days, its filters and its page, all by name
        self,
        *,
        by: By,
        first: int,
        last: int,
        organization: str | None = None,
        key_id: str | None = None,
        after: str = "",
        most: int = 100,
    ) -> list[Usage]:
        """A page of what was used from day `first` to day `last`, both included, in the order of the headings.

        Args:
            by: what each line is about.
            first: a day's ordinal.
            last: likewise.
            organization: its usage alone.
            key_id: likewise.
            after: the last heading of the page before.
            most: lines of a page.
        """
        heading = HEADINGS[by]
        statement = (
            sa.select(heading, *[sa.func.sum(column) for column in COUNTED])
            .where(USAGE_DAILY.c.day.between(first, last))
            .group_by(heading)
            .order_by(heading)
            .limit(most)
        )
        if after:
            statement = statement.where(heading > (int(after) if by == "day" else after))
        if organization is not None:
            statement = statement.where(USAGE_DAILY.c.organization == organization)
        if key_id is not None:
            statement = statement.where(USAGE_DAILY.c.key_id == key_id)
        async with self._transactions.read() as connection:
            return [Usage(str(name), *map(int, numbers)) for name, *numbers in await connection.execute(statement)]

    async def prune(self, today: int, *, most: int = 500) -> int:
        """Forget one small batch of what is over its time, so that nobody waits for long; call it until it says 0.

        Returns:
            How many rows went.
        """
        gone = 0
        if self._records_days:
            ended = self._transactions.clock.wall() - self._records_days * DAY_SECS
            gone += await self._forget(USAGE_RECORDS, USAGE_RECORDS.c.ended_at, ended, most)
        if self._daily_days:
            gone += await self._forget(USAGE_DAILY, USAGE_DAILY.c.day, today - self._daily_days, most)
        return gone

    async def _forget(self, table: sa.Table, column: sa.Column[Any], before: float, most: int) -> int:
        key = sa.tuple_(*table.primary_key.columns)
        oldest = sa.select(*table.primary_key.columns).where(column < before).order_by(column).limit(most)
        async with self._transactions.write() as connection:
            return (await connection.execute(sa.delete(table).where(key.in_(oldest)))).rowcount

    async def _insert(self, connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Insert what is not there yet; the ids of what was not."""
        identity = USAGE_RECORDS.c.request_id
        if self._transactions.sqlite:
            statement = sqlite.insert(USAGE_RECORDS).on_conflict_do_nothing().returning(identity)
            found = await connection.execute(statement, rows)
            return list(found.scalars())
        whole = postgresql.insert(USAGE_RECORDS).from_select(*unnested(USAGE_RECORDS, rows))
        found = await connection.execute(whole.on_conflict_do_nothing().returning(identity))
        return list(found.scalars())

    async def _add(self, connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
        """Raise the daily sums."""
        if self._transactions.sqlite:
            first = sqlite.insert(USAGE_DAILY)
            raised = {column.name: column + first.excluded[column.name] for column in COUNTED}
            key = USAGE_DAILY.primary_key.columns
            await connection.execute(first.on_conflict_do_update(index_elements=key, set_=raised), rows)
            return
        whole = postgresql.insert(USAGE_DAILY).from_select(*unnested(USAGE_DAILY, rows))
        raised = {column.name: column + whole.excluded[column.name] for column in COUNTED}
        await connection.execute(whole.on_conflict_do_update(constraint=USAGE_DAILY.primary_key, set_=raised))


def summed(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows' daily sums, in the order of their keys."""
    keys = [column.name for column in USAGE_DAILY.primary_key.columns]
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        line = sums.setdefault(
            key,
            {**dict(zip(keys, key, strict=True)), "month": row["month"]}
            | dict.fromkeys(("requests", "prompt_tokens", "completion_tokens"), 0),
        )
        line["requests"] += 1
        line["prompt_tokens"] += row["prompt_tokens"]
        line["completion_tokens"] += row["completion_tokens"]
    return [sums[key] for key in sorted(sums)]


def unnested(table: sa.Table, rows: Sequence[dict[str, Any]]) -> tuple[list[str], sa.Select[Any]]:
    """The rows as PostgreSQL reads them fastest: an array for each column, so that one statement fits any number.

    Three times as fast as a statement with a parameter for each value (record 70).
    """
    columns = [
        sa.func.unnest(sa.bindparam(None, [row[column.name] for row in rows], postgresql.ARRAY(column.type)))
        for column in table.columns
    ]
    return [column.name for column in table.columns], sa.select(*columns)
