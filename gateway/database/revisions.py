"""Which schema does the database have, and how does it come to have this version's? Alembic, one host at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from gateway.database.engine import WRITES, is_sqlite, make_sync_engine, url_of
from gateway.database.errors import SchemaError, translated

if TYPE_CHECKING:
    from alembic.config import Config

    from gateway.database.settings import DatabaseSettings

LOCK = 0x67617465
"""The name of the advisory lock under which PostgreSQL's schema is changed; `gate` in ASCII."""
PATIENCE_SECS = 60.0
"""So long a migration waits for another host's."""
BASE = "base"
MIGRATIONS = Path(__file__).with_name("migrations")
"""Alembic, which runs them, is loaded where one is to run: a start that finds its own schema does without."""
TABLE = sa.table("alembic_version", sa.column("version_num"))
"""Where Alembic keeps the revision; one row, as revisions follow each other in one line."""


def upgrade(settings: "DatabaseSettings", revision: str = "head") -> None:
    """Change the schema to a later revision, in one transaction; of several hosts that ask at once, one does it.

    Raises:
        DatabaseUnavailableError: there is no database now, or another host's migration took too long.
        SchemaError: there is no way from where it is to the revision.
    """
    from alembic import command  # noqa: PLC0415 -- MIGRATIONS

    _run(settings, lambda config: command.upgrade(config, revision))


def downgrade(settings: "DatabaseSettings", revision: str) -> None:
    """Change the schema to an earlier revision, or to `base`; what only the later ones have is lost.

    Raises:
        DatabaseUnavailableError: as for `upgrade`.
        SchemaError: as for `upgrade`.
    """
    from alembic import command  # noqa: PLC0415 -- MIGRATIONS

    _run(settings, lambda config: command.downgrade(config, revision))


def current(settings: "DatabaseSettings") -> str | None:
    """The revision that the database is at; None: it is empty.

    Raises:
        DatabaseUnavailableError: there is no database now.
    """
    with connected(settings, writes=False) as connection:
        if not sa.inspect(connection).has_table(TABLE.name):
            return None
        return connection.scalars(sa.select(TABLE.c.version_num)).one_or_none()


def head() -> str:
    """The revision that this version of the gateway works with: the migrations' files bear them in their names."""
    return max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def ensure(settings: "DatabaseSettings") -> None:
    """Upgrade where the settings say so and it is needed.

    Raises:
        DatabaseUnavailableError: there is no database now.
        SchemaError: the schema is not this version's, and stays so.
    """
    found, wanted = current(settings), head()
    if found == wanted:
        return
    if not settings.database_auto_upgrade:
        raise SchemaError(
            f"the database is at revision {found or BASE}, this version needs {wanted}: run `gateway db upgrade`"
        )
    upgrade(settings)


def _run(settings: "DatabaseSettings", task: Callable[["Config"], None]) -> None:
    from alembic.util import CommandError  # noqa: PLC0415 -- MIGRATIONS

    with connected(settings, writes=True) as connection:
        config = _config()
        config.attributes["connection"] = connection
        try:
            task(config)
        except CommandError as error:
            raise SchemaError(f"the database's schema cannot be changed: {error}") from error


@contextmanager
def connected(settings: "DatabaseSettings", *, writes: bool) -> Iterator[sa.Connection]:
    """A connection in a transaction of its own, which alone changes the schema if it writes."""
    with translated():
        engine = make_sync_engine(settings, PATIENCE_SECS if writes else settings.database_timeout_secs)
    with translated(), engine.execution_options(**{WRITES: writes}).begin() as connection:
        if writes and not is_sqlite(url_of(settings)):
            connection.execute(sa.text("SELECT set_config('lock_timeout', :ms, true)"), {"ms": f"{PATIENCE_SECS:.0f}s"})
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        yield connection


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 -- MIGRATIONS

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
