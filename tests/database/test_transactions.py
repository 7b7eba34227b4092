"""Tests of what a transaction may take, on PostgreSQL's side."""

import pytest
import sqlalchemy as sa

from gateway.database.database import Database
from gateway.database.settings import DatabaseSettings

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
