"""Tests of how a database is reached."""

import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr, ValidationError

from gateway.database.database import Database
from gateway.database.engine import make_async_engine, make_file, url_of
from gateway.database.settings import DatabaseSettings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("postgres://u:p@h:1/n?sslmode=require", "postgresql+psycopg://u:p@h:1/n?sslmode=require"),
        ("postgresql://h/n", "postgresql+psycopg://h/n"),
        ("postgresql+psycopg://h/n", "postgresql+psycopg://h/n"),
        ("sqlite:////srv/gateway.db", "sqlite:////srv/gateway.db"),
        ("sqlite+aiosqlite:////srv/gateway.db", "sqlite:////srv/gateway.db"),
    ],
)
def test_a_url_needs_no_drivers_name(stated: str, meant: str) -> None:
    url = url_of(DatabaseSettings(database_url=SecretStr(stated)))
    assert url.render_as_string(hide_password=False) == meant


def test_without_a_url_it_is_a_file_in_the_data_folder(tmp_path: Path) -> None:
    assert url_of(DatabaseSettings(data_path=tmp_path)).database == str(tmp_path / "gateway.db")


@pytest.mark.parametrize("stated", ["mysql://u:hunter2@h/n", "gateway.db", "postgresql+asyncpg://u:hunter2@h/n"])
def test_another_kind_of_database_is_refused_and_not_shown(stated: str) -> None:
    with pytest.raises(ValidationError, match="DATABASE_URL must begin with") as caught:
        DatabaseSettings(database_url=SecretStr(stated))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("sqlite://", "absolute path"),
        ("sqlite:///gateway.db", "absolute path"),
        ("sqlite:////srv/", "absolute path"),
        ("postgresql://u:hunter2/x@h:1/n", "%2F"),
        ("postgresql://u:p@h:hunter2/n", "no port"),
    ],
)
def test_a_url_that_would_fail_later_is_refused_at_once(stated: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        DatabaseSettings(database_url=SecretStr(stated))
    assert "hunter2" not in str(caught.value)


def test_the_file_and_its_folder_are_this_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "gateway.db"
    make_file(sa.make_url(f"sqlite:///{path}"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_each_sqlite_connection_is_durable_patient_and_strict(sqlite_settings: DatabaseSettings) -> None:
    async with Database(sqlite_settings) as database, database._engine.connect() as connection:
        found = {
            name: (await connection.execute(sa.text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    full = 2
    assert found == {"journal_mode": "wal", "synchronous": full, "foreign_keys": 1, "busy_timeout": 4000}


async def test_nothing_is_prepared_on_a_connection_that_a_pooler_may_hand_to_others(
    postgres_settings: DatabaseSettings,
) -> None:
    engine = make_async_engine(postgres_settings)
    async with engine.connect() as connection:
        for _ in range(10):
            await connection.execute(sa.text("SELECT 1 + :n"), {"n": 1})
        prepared = await connection.execute(sa.text("SELECT count(*) FROM pg_prepared_statements"))
        assert prepared.scalar_one() == 0
    await engine.dispose()


async def test_the_urls_own_parameters_go_before_ours(postgres_settings: DatabaseSettings) -> None:
    url = SecretStr(postgres_settings.database_url.get_secret_value() + "&application_name=mine")
    engine = make_async_engine(postgres_settings.model_copy(update={"database_url": url}))
    async with engine.connect() as connection:
        assert (await connection.execute(sa.text("SHOW application_name"))).scalar_one() == "mine"
    await engine.dispose()
