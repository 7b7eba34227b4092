"""`gateway db`: which schema does the database have, how does it get another, and how does it come elsewhere?"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway.auth.key_secret import FILE as KEY_HASHES
from gateway.core.errors import GatewayError
from gateway.database import copying, revisions
from gateway.database.settings import DatabaseSettings, refuse_unfit
from gateway.settings import ConfigurationError, Settings, load

FAILED = 1
"""Exit status; 2 is click's, for a command line that will not do."""


@click.group(short_help="The database: upgrade, downgrade, current, backup, copy.")
def db() -> None:
    """Look after the database that DATABASE_URL names; by default, gateway.db in DATA_PATH."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Change the schema to REVISION, by default to what this version of the gateway needs.

    Several hosts may do it at once: one does, the others wait and find it done.
    """
    with said() as settings:
        revisions.upgrade(settings, revision)
        tell(settings)


@db.command()
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(revision: str, *, yes: bool) -> None:
    """Change the schema back to REVISION, or to `base`, which is none; what only later ones have is lost."""
    with said() as settings:
        if not yes:
            click.confirm(f"Everything that came after {revision} will be lost. Go on?", abort=True)
        revisions.downgrade(settings, revision)
        tell(settings)


@db.command()
def current() -> None:
    """Say which revision the database has, and which this version of the gateway needs.

    Exits with 0 if they are the same, with 1 if not or if there is no telling.
    """
    with said() as settings:
        if not tell(settings):
            sys.exit(FAILED)


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write the SQLite database into FILE, and the secret of its keys' hashes beside it, while the gateway runs.

    FILE must not be there yet. Where KEY_HASH_SECRET is set no secret is written: keep it as you keep .env.
    """
    with said() as settings:
        copying.back_up(settings, file)
        click.echo(f"{file}: {file.stat().st_size:,} bytes")
        secret, beside = settings.data_path / KEY_HASHES, file.with_name(f"{file.name}.{KEY_HASHES}")
        if secret.is_file() and not settings.key_hash_secret.get_secret_value():
            copying.keep(secret, beside)
            click.echo(f"{beside}: keep both; without it no key in the database is known again")


@db.command(name="copy")
@click.option("--from", "source", metavar="URL", help="Which database; by default gateway.db in DATA_PATH.")
def copy_database(source: str | None) -> None:
    """Copy everything from another database into that of DATABASE_URL, which must be empty.

    Stop the gateway first: what it writes into the old one meanwhile is not copied.
    """
    with said() as settings:
        if source is not None:
            try:
                refuse_unfit(source)
            except ValueError as error:
                raise click.UsageError(str(error).replace("DATABASE_URL", "--from")) from None
        counts = copying.copy(source or "", settings)
        for table, rows in counts.items():
            click.echo(f"{table:<{max(map(len, counts))}}  {rows:>12,}")


def tell(settings: DatabaseSettings) -> bool:
    """Print the database's revision; whether it is this version's."""
    found, wanted = revisions.current(settings) or revisions.BASE, revisions.head()
    click.echo(found if found == wanted else f"{found} (this version of the gateway needs {wanted})")
    return found == wanted


@contextmanager
def said() -> Iterator[Settings]:
    """The settings, for a task whose failures are told to the operator and end the command."""
    try:
        yield load()
    except ConfigurationError as error:
        mistakes: tuple[str, ...] = error.mistakes
    except GatewayError as error:
        mistakes = (str(error),)
    else:
        return
    for mistake in mistakes:
        click.echo(f"gateway: {mistake}", err=True)
    sys.exit(FAILED)
