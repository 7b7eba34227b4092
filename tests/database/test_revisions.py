"""Tests of the schema's way up and down, on both databases."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr

from gateway.database import revisions
from gateway.database.database import Database
from gateway.database.engine import make_sync_engine
from gateway.database.errors import DatabaseUnavailableError, SchemaError
from gateway.database.rows import KeyProperties, Organization
from gateway.database.settings import DatabaseSettings
from gateway.database.tables import METADATA
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.anyio

UPGRADE = """
import sys
from pathlib import Path
from gateway.database.revisions import upgrade
from gateway.database.settings import DatabaseSettings
settings = DatabaseSettings(data_path=Path(sys.argv[1]), database_url=sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
upgrade(settings)
"""

ENSURE = """
import sys
from pathlib import Path
from gateway.database.revisions import ensure
from gateway.database.settings import DatabaseSettings
ensure(DatabaseSettings(data_path=Path(sys.argv[1]), database_url=sys.argv[2]))
print(*sys.modules)
"""


def tables(settings: DatabaseSettings) -> set[str]:
    engine = make_sync_engine(settings, 5)
    with engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_an_empty_database_comes_up_goes_down_and_comes_up_again(empty: DatabaseSettings) -> None:
    assert revisions.current(empty) is None
    revisions.upgrade(empty)
    assert revisions.current(empty) == revisions.head()
    assert tables(empty) == {*METADATA.tables, "alembic_version"}
    revisions.downgrade(empty, revisions.BASE)
    assert revisions.current(empty) is None
    assert tables(empty) == {"alembic_version"}
    revisions.upgrade(empty)
    assert tables(empty) == {*METADATA.tables, "alembic_version"}


def test_migrations_make_what_the_tables_module_describes(settings: DatabaseSettings) -> None:
    with make_sync_engine(settings, 5).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def test_a_difference_between_migrations_and_tables_would_be_seen(settings: DatabaseSettings) -> None:
    other = sa.MetaData()
    for table in METADATA.tables.values():
        table.to_metadata(other)
    other.tables["audit"].append_column(sa.Column("mood", sa.Text))
    with make_sync_engine(settings, 5).connect() as connection:
        (found,) = compare_metadata(MigrationContext.configure(connection), other)
    assert found[0] == "add_column"


async def test_what_an_earlier_revision_has_is_kept_on_the_way_down_and_up(
    settings: DatabaseSettings, digests: Callable[[], bytes]
) -> None:
    async with Database(settings) as database:
        key = await database.keys.create(KeyProperties(name="kept"), digest=digests(), prefix="gw-", actor="ann")
        acme = await database.organizations.create(Organization(name="org:acme"), actor="ann")
    revisions.downgrade(settings, "0001")
    revisions.upgrade(settings)
    async with Database(settings) as database:
        assert await database.keys.list() == [key]
        assert await database.organizations.list() == [acme]
        assert await database.changes.number() == 2
        assert await database.audit.list() == []


def test_hosts_that_upgrade_at_once_wait_for_each_other(empty: DatabaseSettings) -> None:
    command = [sys.executable, "-c", UPGRADE, str(empty.data_path), empty.database_url.get_secret_value()]
    hosts = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 -- this interpreter
        for _ in range(3)
    ]
    for host in hosts:
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
    ends = [host.communicate(b"\n") for host in hosts]
    assert [host.returncode for host in hosts] == [0] * 3, ends
    assert revisions.current(empty) == revisions.head()


def test_an_upgrade_waits_for_the_one_that_runs_on_another_host(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    settings = DatabaseSettings(database_url=SecretStr(url))
    with psycopg.connect(url, autocommit=True) as other, ThreadPoolExecutor() as threads:
        other.execute("SELECT pg_advisory_lock(%s)", [revisions.LOCK])
        upgrade = threads.submit(revisions.upgrade, settings)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while other.execute(waiting).fetchone() == (0,):
            assert not upgrade.done()
        assert tables(settings) == set()
        other.execute("SELECT pg_advisory_unlock(%s)", [revisions.LOCK])
        upgrade.result()
    assert revisions.current(settings) == revisions.head()


def test_a_migration_that_fails_leaves_the_schema_as_it_was(empty: DatabaseSettings) -> None:
    revisions.upgrade(empty, "0002")
    with make_sync_engine(empty, 5).begin() as connection:
        connection.execute(sa.text("CREATE TABLE usage_daily (x INTEGER)"))
    with pytest.raises(DatabaseUnavailableError, match="usage_daily"):
        revisions.upgrade(empty)
    assert revisions.current(empty) == "0002"
    assert "usage_records" not in tables(empty)


def test_the_head_in_the_names_of_the_files_is_alembics() -> None:
    config = Config()
    config.set_main_option("script_location", "gateway.database:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [revisions.head()]


def test_alembic_is_loaded_by_the_start_that_has_to_change_the_schema_alone(empty: DatabaseSettings) -> None:
    command = [sys.executable, "-c", ENSURE, str(empty.data_path), empty.database_url.get_secret_value()]
    starts = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()  # noqa: S603 -- this interpreter
        for _ in range(2)
    ]
    assert revisions.current(empty) == revisions.head()
    assert ["alembic" in modules for modules in starts] == [True, False]


async def test_a_schema_of_a_later_version_is_left_alone(settings: DatabaseSettings) -> None:
    with make_sync_engine(settings, 5).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="9999"):
        await Database(settings).open()


async def test_an_operator_may_keep_the_upgrade_to_himself(empty: DatabaseSettings) -> None:
    by_hand = empty.model_copy(update={"database_auto_upgrade": False})
    database = Database(by_hand)
    with pytest.raises(SchemaError, match="gateway db upgrade"):
        await database.open()
    with pytest.raises(SchemaError, match="gateway db upgrade"):
        await database.changes.number()
    assert revisions.current(empty) is None
    revisions.upgrade(empty)
    await database.open()
    assert await database.changes.number() == 0
    await database.close()


def test_a_password_is_not_in_what_is_said_of_a_failure() -> None:
    url = SecretStr("postgresql://gateway:hunter%25two@127.0.0.1:1/gateway")
    with pytest.raises(DatabaseUnavailableError) as caught:
        revisions.current(DatabaseSettings(database_url=url))
    assert "127.0.0.1" in str(caught.value)
    assert "hunter" not in str(caught.value)
