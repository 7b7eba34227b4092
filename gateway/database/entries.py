"""How do sheets of records get into the ledger at the least cost? As each database takes many rows at once."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.core.months import month_of
from gateway.core.usage_record import UsageRecord
from gateway.core.usage_sheet import Sheet, read_sheet
from gateway.database.tables import USAGE_DAILY, USAGE_SHEETS

if TYPE_CHECKING:
    import aiosqlite

Row = tuple[Any, ...]
"""A line of a table, in the order of its columns."""

Windows = Callable[[float], tuple[int, int]]
"""The day and the month that a time in seconds since 1970 belongs to; both grow with it."""

COUNTED = (USAGE_DAILY.c.requests, USAGE_DAILY.c.prompt_tokens, USAGE_DAILY.c.completion_tokens)


class Entry(Struct, frozen=True, gc=False):
    """A sheet on its way into the ledger.

    Attributes:
        id: its name among those of all hosts.
        first_at: when the first request on it ended, in seconds since 1970.
        last_at: likewise the last one.
        records: those that can be read.
        lost: how many cannot.
        content: the sheet as it came.
    """

    id: str
    first_at: float
    last_at: float
    records: list[UsageRecord]
    lost: int
    content: bytes

    def row(self) -> Row:
        """Its line of USAGE_SHEETS."""
        return self.id, self.first_at, self.last_at, len(self.records), self.content


def entry_of(journal: str, sheet: Sheet, now: float) -> Entry:
    """A sheet of that journal, read; one without a record that can be read counts as of now, and is kept as it is."""
    records, lost = read_sheet(sheet.content)
    ended = list(map(_ended_at, records)) or [now]
    return Entry(f"{journal}:{sheet.key.hex()}", min(ended), max(ended), records, lost, sheet.content)


async def enter_into_sqlite(connection: AsyncConnection, entries: Sequence[Entry]) -> set[str]:
    """Insert the sheets that are not there yet: their ids.

    Args:
        connection: in a transaction that holds the file's write lock.
        entries: none of them twice.
    """
    added = await _in_one_hop(connection, SQLITE_INSERT, [entry.row() for entry in entries])
    if added == len(entries):
        return {entry.id for entry in entries}
    # What was added last has the highest numbers, and nobody else has added anything since.
    return set((await connection.exec_driver_sql(SQLITE_LAST, (added,))).scalars())


async def _in_one_hop(connection: AsyncConnection, statement: str, rows: Sequence[Row]) -> int:
    """Run a statement for each row: how many rows it has changed.

    A hop to the driver's thread and back costs as much as ten records; through SQLAlchemy it is three (record 77).
    """
    driver = cast("aiosqlite.Connection", (await connection.get_raw_connection()).driver_connection)
    return int((await driver.executemany(statement, rows)).rowcount)


async def enter_into_postgresql(connection: AsyncConnection, entries: Sequence[Entry]) -> set[str]:
    """Likewise, in one statement: an array for each column.

    Args:
        connection: in a transaction.
        entries: none of them twice, in one order in all processes: two that enter the same ones wait for each other
            then, and never in a circle.
    """
    found = await connection.exec_driver_sql(POSTGRESQL_INSERT, columns_of([entry.row() for entry in entries]))
    return set(found.scalars())


async def raise_in_sqlite(connection: AsyncConnection, lines: Sequence[Row]) -> None:
    """Add to the daily sums."""
    await _in_one_hop(connection, SQLITE_RAISE, lines)


async def raise_in_postgresql(connection: AsyncConnection, lines: Sequence[Row]) -> None:
    """Likewise; `lines` in one order on all hosts, as with sheets."""
    await connection.exec_driver_sql(POSTGRESQL_RAISE, columns_of(lines))


def summed(entries: Sequence[Entry], epoch: str, windows: Windows) -> list[Row]:
    """The daily sums of what is on the sheets, as rows of USAGE_DAILY, in order.

    Each request stands under the day in which its accounts count it; the calendar is asked for those that name none.
    """
    records = [record for entry in entries for record in entry.records]
    under: defaultdict[Row, list[UsageRecord]] = defaultdict(list)
    for line, run in groupby(records, _line_of):  # neighbours are often alike, and comparing them is cheap
        under[line].extend(run)
    months = {day: month_of(date.fromordinal(day)) for day, *_ in under if day}
    for line in [line for line in under if not line[0]]:
        for record in under.pop(line):
            day, month = windows(record.ended_at)
            months[day] = month
            under[(day, *line[1:])].append(record)
    return sorted(
        (*line, epoch, months[line[0]], len(records), sum(map(_prompt_of, records)), sum(map(_completion_of, records)))
        for line, records in under.items()
    )


def columns_of(rows: Sequence[Row]) -> tuple[list[Any], ...]:
    """The same by columns."""
    return tuple(map(list, zip(*rows, strict=True)))


def _raised(more: Any) -> dict[str, sa.ColumnElement[int]]:  # noqa: ANN401 -- SQLAlchemy names no type for `excluded`
    """What a line of sums becomes by one that could not be inserted because of it."""
    return {column.name: column + more[column.name] for column in COUNTED}


def _sqlite_plain(statement: sa.Insert) -> str:
    """An insert of whole rows as the driver takes it."""
    return str(statement.compile(dialect=sqlite.dialect()))


def _from_arrays(table: sa.Table) -> str:
    """The beginning of PostgreSQL's insert of many rows: a parameter for each column, and none for each value."""
    dialect = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves its arguments untyped
    types = [column.type.compile(dialect) for column in table.columns]
    arrays = ", ".join(f"%s::{kind}[]" for kind in types)
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) SELECT * FROM unnest({arrays})"  # noqa: S608 -- no value is in it


_line_of = attrgetter("day", "organization", "key_id", "model")
"""What a daily sum is of, beside its epoch."""
_ended_at = attrgetter("ended_at")
_prompt_of = attrgetter("prompt_tokens")
_completion_of = attrgetter("completion_tokens")

_of_sums = sqlite.insert(USAGE_DAILY)
_line = list(USAGE_DAILY.primary_key.columns)

SQLITE_INSERT = _sqlite_plain(sqlite.insert(USAGE_SHEETS).on_conflict_do_nothing())
SQLITE_LAST = "SELECT id FROM usage_sheets ORDER BY rowid DESC LIMIT ?"
SQLITE_RAISE = _sqlite_plain(_of_sums.on_conflict_do_update(index_elements=_line, set_=_raised(_of_sums.excluded)))
_added = SQLITE_RAISE[SQLITE_RAISE.index("ON CONFLICT") :]
POSTGRESQL_INSERT = f"{_from_arrays(USAGE_SHEETS)} ON CONFLICT DO NOTHING RETURNING id"
POSTGRESQL_RAISE = f"{_from_arrays(USAGE_DAILY)} {_added}"
