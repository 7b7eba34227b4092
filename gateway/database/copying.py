"""How does a database come to another place? As a whole file while it is in use, or row by row into another kind."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from pydantic import SecretStr

from gateway.core.errors import GatewayError
from gateway.database import revisions
from gateway.database.engine import is_sqlite, make_sync_engine, url_of
from gateway.database.errors import translated
from gateway.database.tables import AUDIT, CHANGES, HOSTS, METADATA

if TYPE_CHECKING:
    from gateway.database.settings import DatabaseSettings

BATCH = 1000
"""Rows that are in memory at a time."""
COPIED = tuple(table for table in METADATA.sorted_tables if table is not HOSTS)
"""Who uses the other database is no business of this one."""


class NotCopiedError(GatewayError):
    """What is asked for would harm something, or cannot be had; the message is for the operator."""

    status = 409
    type = "invalid_request_error"
    code = "not_copied"


def file_of(settings: "DatabaseSettings") -> Path | None:
    """The SQLite file that is the database; None: a server is."""
    url = url_of(settings)
    return Path(url.database) if is_sqlite(url) and url.database else None


def back_up(settings: "DatabaseSettings", target: Path) -> None:
    """Write the SQLite file as it is at one moment, whoever writes meanwhile; nobody is kept waiting.

    The new file is whole and on the disk before it has its name, is for this user alone, and replaces none.

    Raises:
        NotCopiedError: there is no such file, or one of the target's name.
        DatabaseUnavailableError: the database cannot be read, or the target not be written.
    """
    source = file_of(settings)
    if source is None:
        raise NotCopiedError("DATABASE_URL names a server: back it up with its own means, `pg_dump` for PostgreSQL")
    there(source)
    if target.exists():
        raise NotCopiedError(f"{target} is there already, and is not overwritten")
    draft = target.with_name(f"{target.name}.{secrets.token_hex(8)}")
    with translated():
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        try:
            with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as connection:
                connection.execute("VACUUM INTO ?", (str(draft),))
            sync(draft)
            target.hardlink_to(draft)
        finally:
            draft.unlink()
        sync(target.absolute().parent)


def keep(source: Path, target: Path) -> None:
    """Copy a small file for this user alone.

    Raises:
        NotCopiedError: the target is there.
        DatabaseUnavailableError: the file cannot be read, or the target not be written.
    """
    if target.exists():
        raise NotCopiedError(f"{target} is there already, and is not overwritten")
    with translated():
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, source.read_bytes())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync(path: Path) -> None:
    """See it onto the disk, be it a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def there(file: Path) -> None:
    """Raise NotCopiedError where there is no such file, which reading it by SQLAlchemy would make."""
    if not file.is_file():
        raise NotCopiedError(f"there is no database {file}")


def copy(source: str, settings: "DatabaseSettings") -> dict[str, int]:
    """Copy all there is into the settings' database, which is upgraded and must be empty, in one transaction.

    Args:
        source: its URL; empty: gateway.db in DATA_PATH.
        settings: those of the target.

    Returns:
        How many rows each table has got.

    Raises:
        NotCopiedError: the source is not this version's or not there; the target is not empty, or is the source.
        DatabaseUnavailableError: one of them cannot be used.
    """
    origin = settings.model_copy(update={"database_url": SecretStr(source)})
    if url_of(origin) == url_of(settings):
        raise NotCopiedError("that is the database of the settings itself: set DATABASE_URL to where it is to go")
    if file := file_of(origin):
        there(file)
    found, wanted = revisions.current(origin), revisions.head()
    if found != wanted:
        raise NotCopiedError(
            f"the database to copy is at revision {found or revisions.BASE}, this version needs {wanted}: "
            "upgrade it first, with DATABASE_URL naming it"
        )
    revisions.upgrade(settings)
    with snapshot(origin) as reader, revisions.connected(settings, writes=True) as writer:
        for table in COPIED:
            if table is not CHANGES and writer.execute(sa.select(table).limit(1)).first():
                raise NotCopiedError(f"the database to copy into is not empty: its table {table.name} has rows")
        writer.execute(sa.delete(CHANGES))  # the one row that each database is made with
        counts = {table.name: copy_table(table, reader, writer) for table in COPIED}
        if not is_sqlite(url_of(settings)) and counts[AUDIT.name]:
            # Rows that came with a number of their own have not moved the counter.
            last = sa.select(sa.func.max(AUDIT.c.id)).scalar_subquery()
            writer.execute(sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(AUDIT.name, "id"), last)))
    return counts


@contextmanager
def snapshot(settings: "DatabaseSettings") -> Iterator[sa.Connection]:
    """A connection that sees one moment of the database, whoever writes meanwhile."""
    with translated():
        engine = make_sync_engine(settings, settings.database_timeout_secs)
        if is_sqlite(url_of(settings)):
            with engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
        else:
            with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
                yield connection


def copy_table(table: sa.Table, reader: sa.Connection, writer: sa.Connection) -> int:
    """Copy one table's rows; how many there were.

    Raises:
        NotCopiedError: the target has not as many.
    """
    rows = reader.execution_options(yield_per=BATCH).execute(sa.select(table))
    for batch in rows.mappings().partitions():
        writer.execute(sa.insert(table), [dict(row) for row in batch])
    count = sa.select(sa.func.count()).select_from(table)
    here, there_are = (connection.execute(count).scalar_one() for connection in (writer, reader))
    if here != there_are:
        raise NotCopiedError(f"of {there_are} rows of {table.name} {here} have arrived: nothing is copied")
    return int(here)
