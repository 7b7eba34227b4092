"""What do the admin API's tests share? It, on a socket, before an empty database of each kind."""

from collections.abc import Iterator

import httpx
import pytest

from gateway.database.settings import DatabaseSettings
from tests.database.conftest import (
    migrated_postgres,
    migrated_sqlite,
    postgres,
    postgres_settings,
    settings,
    sqlite_settings,
)
from tests.support.admin import AdminServer

__all__ = ["migrated_postgres", "migrated_sqlite", "postgres", "postgres_settings", "settings", "sqlite_settings"]


@pytest.fixture
def server(settings: DatabaseSettings) -> Iterator[AdminServer]:
    with AdminServer(settings) as running:
        yield running


@pytest.fixture
def client(server: AdminServer) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened
