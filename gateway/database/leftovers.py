"""Are there API keys in a file that nobody reads any more? What a new DATABASE_URL leaves behind."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from gateway.database.engine import FILE
from gateway.database.tables import API_KEYS
from gateway.database.transactions import Transactions

if TYPE_CHECKING:
    from gateway.database.settings import DatabaseSettings


async def keys_left_behind(settings: "DatabaseSettings", transactions: Transactions) -> tuple[Path, int] | None:
    """The file in DATA_PATH and how many API keys it has, where the database that is in use is another and has none.

    Raises:
        DatabaseUnavailableError: the database does not answer.
    """
    file = settings.data_path / FILE
    if not settings.database_url.get_secret_value() or not file.is_file():
        return None
    async with transactions.read() as connection:
        if (await connection.execute(sa.select(API_KEYS.c.id).limit(1))).first():
            return None
    left = keys_in(file)
    return (file, left) if left else None


def keys_in(file: Path) -> int:
    """How many keys an SQLite file has; 0 where it is not one of ours."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", timeout=0, uri=True)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM api_keys").fetchone()
    except sqlite3.Error:
        return 0
    return int(count)
