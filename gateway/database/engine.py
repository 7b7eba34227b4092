"""How is a database reached? The URL, the driver's parameters, and what SQLite must be told on each connection."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import AdaptedConnection, DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.database.errors import DatabaseUnavailableError
from gateway.database.sqlite import Connection

if TYPE_CHECKING:
    from gateway.database.settings import DatabaseSettings

FILE = "gateway.db"
WRITES = "gateway_writes"
"""The execution option of a connection whose transaction will write."""
LEAST_CONNECT_SECS = 2
"""libpq takes anything less for 2 s."""


def url_of(settings: "DatabaseSettings") -> sa.URL:
    """Where the database is, with the one driver that there is for its kind."""
    stated = settings.database_url.get_secret_value()
    if not stated:
        return sa.URL.create("sqlite", database=str(settings.data_path / FILE))
    url = sa.make_url(stated)
    kind = url.get_backend_name()
    return url.set(drivername="postgresql+psycopg" if kind.startswith("postgres") else "sqlite")


def is_sqlite(url: sa.URL) -> bool:
    """Whether it is a file of this host."""
    return url.get_backend_name() == "sqlite"


def make_async_engine(settings: "DatabaseSettings") -> AsyncEngine:
    """The engine of the control process; opens no connection yet, and makes no file: migrations do."""
    url = url_of(settings)
    if not is_sqlite(url):
        engine = create_async_engine(
            url,
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=settings.database_timeout_secs,
            pool_pre_ping=True,  # one round trip; without it each connection of a restarted server fails once
            **_postgresql(url, settings.database_timeout_secs),
        )
    else:
        engine = create_async_engine(
            url.set(drivername="sqlite+aiosqlite"),
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=settings.database_timeout_secs,
            connect_args={"factory": Connection},
            **_common(),
        )
        listen(engine.sync_engine, settings.database_timeout_secs)
        event.listen(engine.sync_engine, "invalidate", interrupt)
    return engine


def make_sync_engine(settings: "DatabaseSettings", timeout: float) -> sa.Engine:
    """The engine of migrations, which wait for each other; no connection outlives its use."""
    url = url_of(settings)
    if not is_sqlite(url):
        return sa.create_engine(
            url, poolclass=sa.NullPool, **_postgresql(url, min(timeout, settings.database_timeout_secs))
        )
    make_file(url)
    engine = sa.create_engine(url, poolclass=sa.NullPool, **_common())
    listen(engine, timeout)
    return engine


def make_file(url: sa.URL) -> None:
    """Make the file and its folder, for this user alone, where they are missing.

    Raises:
        DatabaseUnavailableError: they cannot be made.
    """
    path = Path(url.database or ":memory:")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only a new one: to close a descriptor of the file would drop all locks that SQLite's own hold in this process,
        # and another process would take the database for one that nobody uses, and remove its log.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise DatabaseUnavailableError("the database cannot be opened", f"{path}: {error.strerror}") from error


def listen(engine: sa.Engine, timeout: float) -> None:
    """Have each SQLite connection of the engine durable, patient, and in charge of its own transactions."""
    patience = int(timeout * 1000 * 0.8)  # ms; less than a transaction's time, so that SQLite itself says what is wrong

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        del entry
        connection.isolation_level = None  # sqlite3 would begin too late: a lock is taken when a transaction begins
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {patience}")
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get(WRITES):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def interrupt(connection: DBAPIConnection, entry: ConnectionPoolEntry, error: BaseException | None) -> None:
    """End the statement of a connection that is given up: its thread closes it after that, and no sooner."""
    del entry, error
    with suppress(ValueError):  # it is closed
        cast("AdaptedConnection", connection).run_async(lambda driver: driver.interrupt())


def _common() -> dict[str, Any]:
    return {"json_serializer": lambda value: orjson.dumps(value).decode(), "json_deserializer": orjson.loads}


def _postgresql(url: sa.URL, timeout: float) -> dict[str, Any]:
    """Parameters that hold behind pgbouncer too: nothing is prepared on a connection, nothing set at its start."""
    connect = {
        "connect_timeout": max(LEAST_CONNECT_SECS, math.ceil(timeout)),
        "tcp_user_timeout": int(timeout * 1000),  # a host that vanished is noticed, not waited for
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "application_name": "inference-gateway",
    }
    return {
        "connect_args": {name: value for name, value in connect.items() if name not in url.query}
        | {"prepare_threshold": None},
        "use_native_hstore": False,  # asks each new connection for a type that nothing uses
        **_common(),
    }
