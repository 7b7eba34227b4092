"""Tests that whoever serves requests loads none of the database's libraries."""

import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "alembic", "psycopg", "aiosqlite")
"""Not greenlet, which structlog imports wherever it is installed."""
LOOK = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(*sys.modules)"


def loaded_with(*modules: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after these."""
    done = subprocess.run([sys.executable, "-c", LOOK, *modules], capture_output=True, text=True, check=True)  # noqa: S603 -- this interpreter
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "module", ["gateway.app", "gateway.server.worker", "gateway.server.supervisor", "gateway.companion", "gateway.cli"]
)
def test_workers_and_their_supervisor_load_no_database(module: str) -> None:
    assert loaded_with(module) & set(HEAVY) == set()


def test_the_database_itself_is_seen_to_load_them() -> None:
    assert "sqlalchemy" in loaded_with("gateway.database.database")
