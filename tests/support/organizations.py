"""Which organizations are in a database, and how does one more come into it? Past the gateway, for tests of copies."""

from gateway.database.engine import make_sync_engine
from gateway.database.settings import DatabaseSettings
from gateway.database.tables import CHANGES, ORGANIZATIONS


def organizations(settings: DatabaseSettings) -> list[str]:
    """Those that are in the database."""
    with make_sync_engine(settings, 5).connect() as connection:
        return [row.name for row in connection.execute(ORGANIZATIONS.select())]


def add(settings: DatabaseSettings, name: str) -> None:
    """Write one more, as a gateway that runs does."""
    with make_sync_engine(settings, 5).begin() as connection:
        values = {"name": name, "audit_opt_out": False, "created": 0.0, "version": 1, "changed": 1}
        connection.execute(ORGANIZATIONS.insert().values(values))
        connection.execute(CHANGES.update().values(number=1))
