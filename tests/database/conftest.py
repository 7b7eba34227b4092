"""What do the database's tests share? Both databases, migrated and empty, and a clock moved by hand."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.core.clock import SystemClock
from gateway.database import revisions
from gateway.database.database import Database
from gateway.database.settings import DatabaseSettings
from tests.support.postgres import PostgresServer, postgres_server

KINDS = ("sqlite", "postgresql")


class HandClock(SystemClock):
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def wall(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The name of a database to make others like."""
    url = postgres.new_database()
    revisions.upgrade(DatabaseSettings(database_url=SecretStr(url)))
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to make others like."""
    settings = DatabaseSettings(data_path=tmp_path_factory.mktemp("sqlite"))
    revisions.upgrade(settings)
    return settings.data_path / "gateway.db"


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseSettings:
    """A database without a table, of each kind."""
    if request.param == "sqlite":
        return DatabaseSettings(data_path=tmp_path / "data")
    server: PostgresServer = request.getfixturevalue("postgres")
    return DatabaseSettings(data_path=tmp_path / "data", database_url=SecretStr(server.new_database()))


@pytest.fixture
def sqlite_settings(migrated_sqlite: Path, tmp_path: Path) -> DatabaseSettings:
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "data" / "gateway.db")
    return DatabaseSettings(data_path=tmp_path / "data")


@pytest.fixture
def postgres_settings(postgres: PostgresServer, migrated_postgres: str, tmp_path: Path) -> DatabaseSettings:
    url = postgres.new_database(migrated_postgres)
    return DatabaseSettings(data_path=tmp_path / "data", database_url=SecretStr(url))


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest) -> DatabaseSettings:
    """A migrated database, of each kind."""
    found: DatabaseSettings = request.getfixturevalue(
        "sqlite_settings" if request.param == "sqlite" else "postgres_settings"
    )
    return found


@pytest.fixture
async def database(settings: DatabaseSettings, clock: HandClock) -> AsyncIterator[Database]:
    async with Database(settings, clock) as opened:
        yield opened


@pytest.fixture
def digests() -> Callable[[], bytes]:
    """Digests that differ from each other."""
    numbers = iter(range(1_000_000))
    return lambda: next(numbers).to_bytes(32)
