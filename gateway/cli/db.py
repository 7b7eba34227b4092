"""`gateway db`: which schema does the database have, and how does it get another? Alembic's words, our settings."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from gateway.core.errors import GatewayError
from gateway.database import revisions
from gateway.database.settings import DatabaseSettings
from gateway.settings import ConfigurationError, load

FAILED = 1
"""Exit status; 2 is click's, for a command line that will not do."""


@click.group(short_help="The database's schema: upgrade, downgrade, current.")
def db() -> None:
    """Look after the schema of the database that DATABASE_URL names; by default, of gateway.db in DATA_PATH."""


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


def tell(settings: DatabaseSettings) -> bool:
    """Print the database's revision; whether it is this version's."""
    found, wanted = revisions.current(settings) or revisions.BASE, revisions.head()
    click.echo(found if found == wanted else f"{found} (this version of the gateway needs {wanted})")
    return found == wanted


@contextmanager
def said() -> Iterator[DatabaseSettings]:
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
