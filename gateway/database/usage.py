"""How much was used? The ledger: each request once, on its sheet, and sums by day for reports and quotas."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from gateway.core.principal import KEY_ACCOUNT
from gateway.core.usage_record import UsageRecord
from gateway.core.usage_sheet import Sheet, read_sheet
from gateway.database.entries import (
    COUNTED,
    Windows,
    enter_into_postgresql,
    enter_into_sqlite,
    entry_of,
    raise_in_postgresql,
    raise_in_sqlite,
    summed,
)
from gateway.database.rows import AccountUse, Booked, Place, Usage
from gateway.database.tables import USAGE_DAILY, USAGE_SHEETS
from gateway.database.transactions import Transactions

if TYPE_CHECKING:
    from gateway.database.settings import DatabaseSettings

By = Literal["key", "organization", "model", "day"]
HEADINGS: dict[By, sa.Column[Any]] = {
    "key": USAGE_DAILY.c.key_id,
    "organization": USAGE_DAILY.c.organization,
    "model": USAGE_DAILY.c.model,
    "day": USAGE_DAILY.c.day,
}
DAY_SECS = 86400.0
SHEETS_OF_A_PAGE = 128
"""Decoded for a page of single requests: some 4,000 of them, which take 10 ms."""


class Ledger:
    """Sheets of usage records and their daily sums.

    Days and months are ordinals of the operator's calendar, which the caller has: each day's is one more than
    that of the day before, each month's likewise.
    """

    def __init__(self, transactions: Transactions, settings: "DatabaseSettings") -> None:
        self._transactions = transactions
        self._records_days = settings.usage_retention_days
        self._daily_days = settings.usage_daily_retention_days

    async def write(self, journal: str, sheets: Iterable[Sheet], epoch: str, windows: Windows) -> Booked:
        """Book sheets, all of them or none; one that is booked already is passed over, whatever it says now.

        What cannot be read on a sheet is lost, and holds up nothing beside it.

        Args:
            journal: the name of the journal that they are from, which no other one has.
            sheets: of some thousand records; each holds its transaction's locks no longer than needed.
            epoch: the life of the counters in which they were made.
            windows: the operator's calendar.
        """
        now = self._transactions.clock.wall()
        entries = {entry.id: entry for entry in [entry_of(journal, sheet, now) for sheet in sheets]}
        if not entries:
            return Booked()
        sqlite = self._transactions.sqlite
        enter, add = (enter_into_sqlite, raise_in_sqlite) if sqlite else (enter_into_postgresql, raise_in_postgresql)
        async with self._transactions.write() as connection:
            added = await enter(connection, [entries[name] for name in sorted(entries)])
            new = [entry for name, entry in entries.items() if name in added]
            if lines := summed(new, epoch, windows):
                await add(connection, lines)
        return Booked(
            sum(len(entry.records) for entry in new),
            {entry.id: entry.lost for entry in new if entry.lost},
            min(entry.first_at for entry in entries.values()),
        )

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
            for account, prefix in ((USAGE_DAILY.c.organization, ""), (USAGE_DAILY.c.key_id, KEY_ACCOUNT)):
                statement = (
                    sa.select(account, *columns)
                    .where(USAGE_DAILY.c.month == month, USAGE_DAILY.c.epoch != except_epoch, account != "")
                    .group_by(account)
                )
                for name, *numbers in await connection.execute(statement):
                    found.append(AccountUse(f"{prefix}{name}", *map(int, numbers)))
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

    async def requests(
        self,
        *,
        since: float,
        until: float,
        organization: str | None = None,
        key_id: str | None = None,
        after: Place | None = None,
        most: int = 100,
    ) -> tuple[list[UsageRecord], Place | None]:
        """A page of single requests, those of the sheet that was ended last first, and there the last one.

        No more than SHEETS_OF_A_PAGE sheets are decoded, so that a page may be short, or empty, before the end.

        Args:
            since: the earliest end of a request, in seconds since 1970.
            until: the first end that is too late.
            organization: its requests alone.
            key_id: likewise.
            after: where the page before ended.
            most: requests of a page.

        Returns:
            The requests, and where the next page begins; None: there is no more.
        """
        found: list[UsageRecord] = []
        sheets = await self._sheets(since, until, after)
        for name, last_at, content in sheets:
            records, _ = read_sheet(content)
            end = after.number if after is not None and after.sheet == name else len(records)
            for number in range(min(end, len(records)) - 1, -1, -1):
                record = records[number]
                if (
                    since <= record.ended_at < until
                    and organization in (None, record.organization)
                    and key_id in (None, record.key_id)
                ):
                    if len(found) == most:
                        return found, Place(last_at, name, number + 1)
                    found.append(record)
        if len(sheets) < SHEETS_OF_A_PAGE:
            return found, None
        name, last_at, _ = sheets[-1]
        return found, Place(last_at, name, 0)

    async def _sheets(self, since: float, until: float, after: Place | None) -> list[tuple[str, float, bytes]]:
        """The next sheets with requests of that time; of later ones no more than the index is read."""
        columns = USAGE_SHEETS.c
        statement = (
            sa.select(columns.id, columns.last_at, columns.content)
            .where(columns.last_at >= since, columns.first_at < until)
            .order_by(columns.last_at.desc(), columns.id.desc())
            .limit(SHEETS_OF_A_PAGE)
        )
        if after is not None:
            place = sa.tuple_(columns.last_at, columns.id)
            here = sa.tuple_(sa.literal(after.last_at), sa.literal(after.sheet))
            statement = statement.where(place <= here if after.number else place < here)
        async with self._transactions.read() as connection:
            return [(name, last_at, content) for name, last_at, content in await connection.execute(statement)]

    async def prune(self, today: int, *, most: int = 500) -> int:
        """Forget one small batch of what is over its time, so that nobody waits for long; call it until it says 0.

        Returns:
            How many rows went.
        """
        gone = 0
        if self._records_days:
            ended = self._transactions.clock.wall() - self._records_days * DAY_SECS
            gone += await self._forget(USAGE_SHEETS, USAGE_SHEETS.c.last_at, ended, most)
        if self._daily_days:
            gone += await self._forget(USAGE_DAILY, USAGE_DAILY.c.day, today - self._daily_days, most)
        return gone

    async def _forget(self, table: sa.Table, column: sa.Column[Any], before: float, most: int) -> int:
        key = sa.tuple_(*table.primary_key.columns)
        oldest = sa.select(*table.primary_key.columns).where(column < before).order_by(column).limit(most)
        async with self._transactions.write() as connection:
            return (await connection.execute(sa.delete(table).where(key.in_(oldest)))).rowcount
