"""How do records get into the ledger at the least cost? As each database takes many rows at once."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.database.tables import USAGE_DAILY, USAGE_RECORDS

Row = tuple[Any, ...]
"""A line of a table, in the order of its columns; of USAGE_RECORDS: a record's fields, its epoch and its windows."""

COUNTED = (USAGE_DAILY.c.requests, USAGE_DAILY.c.prompt_tokens, USAGE_DAILY.c.completion_tokens)
LINE = [column.name for column in USAGE_DAILY.columns if column not in set(COUNTED)]
"""What a daily sum is of."""
TOGETHER = 50
"""Rows of one of SQLite's statements: 800 parameters, where any of them takes 999."""


async def enter_into_sqlite(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Insert what is not there yet, and add it to the daily sums: how many rows were new.

    By the driver's own statements: with SQLAlchemy's parameters a record costs three times as much (record 70).

    Args:
        connection: in a transaction that holds the file's write lock.
        rows: of USAGE_RECORDS, none of them twice.
    """
    added = 0
    for statement, parameters in bound(rows):
        added += (await connection.exec_driver_sql(statement, parameters)).rowcount
    if added < len(rows):
        # What was added last has the highest numbers, and nobody else has added anything since.
        new = set((await connection.exec_driver_sql(SQLITE_LAST, (added,))).scalars())
        rows = [row for row in rows if row[0] in new]
    if rows:
        await connection.exec_driver_sql(SQLITE_RAISE, summed(rows))
    return added


async def enter_into_postgresql(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    """Likewise, in one statement: the server reads the rows, finds what is new, adds it up and raises the sums.

    Args:
        connection: in a transaction.
        rows: of USAGE_RECORDS, none of them twice, in one order on all hosts: two that enter the same ones wait for
            each other then, and never in a circle.
    """
    text = _encode([dict(zip(_names, row, strict=True)) for row in rows]).decode()
    new = await connection.execute(POSTGRESQL_ENTER, {"rows": text})
    return int(new.scalar_one())


def bound(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Statements that insert the rows into SQLite, each with its parameters.

    Numbers stand for bools: sqlite3 asks Python how to adapt those, which takes as long as half of a row.
    """
    first, second = _place["estimated"], _place["cached"]
    numbers = [
        (*row[:first], int(row[first]), *row[first + 1 : second], int(row[second]), *row[second + 1 :]) for row in rows
    ]
    whole = len(rows) - len(rows) % TOGETHER
    if whole:
        parts = (numbers[start : start + TOGETHER] for start in range(0, whole, TOGETHER))
        yield SQLITE_INSERT_TOGETHER, [tuple(chain.from_iterable(part)) for part in parts]
    if whole < len(rows):
        yield SQLITE_INSERT, numbers[whole:]


def summed(rows: Iterable[Row]) -> list[Row]:
    """The rows' daily sums."""
    sums: dict[Row, list[int]] = {}
    for row in rows:
        line = sums.setdefault(_line_of(row), [0, 0, 0])
        prompt_tokens, completion_tokens = _tokens_of(row)
        line[0] += 1
        line[1] += prompt_tokens
        line[2] += completion_tokens
    return [(*line, *counts) for line, counts in sums.items()]


def _raised(more: Any) -> dict[str, sa.ColumnElement[int]]:  # noqa: ANN401 -- SQLAlchemy names no type for `excluded`
    """What a line of sums becomes by one that could not be inserted because of it."""
    return {column.name: column + more[column.name] for column in COUNTED}


def _plain(statement: sa.Insert) -> str:
    """An insert of whole rows as SQLite's driver takes it."""
    return str(statement.compile(dialect=sqlite.dialect()))


def _sqlite_raise() -> str:
    sums = sqlite.insert(USAGE_DAILY)
    key = USAGE_DAILY.primary_key.columns
    return _plain(sums.on_conflict_do_update(index_elements=key, set_=_raised(sums.excluded)))


def _postgresql_enter() -> sa.Select[int]:
    typed = [sa.column(column.name, column.type) for column in USAGE_RECORDS.columns]
    told = sa.func.json_to_recordset(sa.cast(sa.bindparam("rows", type_=sa.Text), postgresql.JSON))
    rows = told.table_valued(*typed, name="told").render_derived(with_types=True)
    entered = postgresql.insert(USAGE_RECORDS).from_select(_names, sa.select(*rows.c))
    new = entered.on_conflict_do_nothing().returning(*USAGE_RECORDS.columns).cte("new")
    lines = [new.c[name] for name in LINE]
    counts = (sa.func.count(), sa.func.sum(new.c.prompt_tokens), sa.func.sum(new.c.completion_tokens))
    sums = postgresql.insert(USAGE_DAILY).from_select(
        [column.name for column in USAGE_DAILY.columns],
        sa.select(*lines, *[sa.cast(count, sa.BigInteger) for count in counts]).group_by(*lines).order_by(*lines),
    )
    key = USAGE_DAILY.primary_key
    raised = sums.on_conflict_do_update(constraint=key, set_=_raised(sums.excluded)).cte("raised")
    return sa.select(sa.func.count()).select_from(new).add_cte(raised)


_encode = msgspec.json.Encoder().encode
_names = [column.name for column in USAGE_RECORDS.columns]
_place = {name: place for place, name in enumerate(_names)}
_line_of = itemgetter(*[_place[name] for name in LINE])
_tokens_of = itemgetter(_place["prompt_tokens"], _place["completion_tokens"])
_row = f"({', '.join('?' * len(_names))})"

SQLITE_INSERT = _plain(sqlite.insert(USAGE_RECORDS).on_conflict_do_nothing())
SQLITE_INSERT_TOGETHER = SQLITE_INSERT.replace(_row, ", ".join([_row] * TOGETHER))
SQLITE_LAST = "SELECT request_id FROM usage_records ORDER BY rowid DESC LIMIT ?"
SQLITE_RAISE = _sqlite_raise()
POSTGRESQL_ENTER = _postgresql_enter()
