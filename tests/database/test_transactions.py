"""Tests of what a transaction may take: on PostgreSQL's side, and as it is told of."""

import sqlite3
from collections import Counter
from contextlib import closing

import pytest
import sqlalchemy as sa

from gateway.database.database import Database
from gateway.database.errors import DatabaseUnavailableError
from gateway.database.settings import DatabaseSettings
from gateway.database.transactions import OPERATIONS

pytestmark = pytest.mark.anyio

BOUNDS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


async def test_the_server_ends_what_a_vanished_host_left_open_and_keeps_no_bound_for_others(
    postgres_settings: DatabaseSettings,
) -> None:
    one = postgres_settings.model_copy(update={"database_pool_size": 1, "database_timeout_secs": 7.0})
    async with Database(one) as database:
        async with database.keys._transactions.write() as connection:
            held = [(await connection.execute(sa.text(f"SHOW {name}"))).scalar_one() for name in BOUNDS]
        async with database.keys._transactions.read() as connection:
            after = [(await connection.execute(sa.text(f"SHOW {name}"))).scalar_one() for name in BOUNDS]
    assert held == ["7s"] * 3
    assert after == ["0"] * 3


class Told:
    """`Timings` that remember."""

    def __init__(self) -> None:
        self.done = Counter[str]()
        self.failures = Counter[str]()

    def took(self, operation: str, seconds: float) -> None:
        assert 0 < seconds < 60
        self.done[operation] += 1

    def failed(self, operation: str) -> None:
        self.failures[operation] += 1


async def test_operations_are_told_of_and_so_are_those_that_had_no_answer_in_time(
    sqlite_settings: DatabaseSettings,
) -> None:
    told = Told()
    impatient = sqlite_settings.model_copy(update={"database_timeout_secs": 0.3})
    async with Database(impatient, timings=told) as database:
        transactions = database.keys._transactions
        async with transactions.read(), transactions.write():
            pass
        assert (told.done, told.failures) == (dict.fromkeys(OPERATIONS, 1), {})
        with closing(sqlite3.connect(impatient.data_path / "gateway.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseUnavailableError):
                async with transactions.write():
                    pass
            other.execute("ROLLBACK")
        with pytest.raises(KeyError):  # a fault of whoever asks is none of the database's
            async with transactions.write():
                raise KeyError
    assert told.done == {"open": 1, "read": 1, "write": 3}
    assert told.failures == {"write": 1}
