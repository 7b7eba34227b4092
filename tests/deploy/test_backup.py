"""A backup is one file, the newest are kept, and what is put back from it is what was there."""

import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from gateway.auth.key_secret import find_or_make
from gateway.database import revisions
from gateway.database.settings import DatabaseSettings
from gateway.settings import names
from tests.support.organizations import add, organizations
from tests.support.postgres import postgres_server

SCRIPTS = Path(__file__).parents[2] / "deploy" / "systemd"
PATIENCE_SECS = 100
REQUIRED = {
    "GATEWAY_API_KEY": "sk-first-key",
    "BACKEND_API_KEY": "key-of-a-backend",
    "CHAT_BACKENDS": "http://c:1",
    "IN_GATEWAY": "env",
    "IN_STOPPED_GATEWAY": "env",
    "RUNS_COMMAND": "",
}
"""A gateway without Docker."""


def run(script: str, folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A script of the folder deploy/systemd."""
    known = {*names(), "GATEWAY_CONFIG"}
    own = {name: value for name, value in os.environ.items() if name not in known}  # noqa: TID251 -- handed on
    path = os.pathsep.join((str(Path(sys.executable).parent), *postgres_programs(), own["PATH"]))
    environment = {**own, **REQUIRED, "PATH": path, "BACKUP_DIR": str(folder / "backups"), **settings}
    return subprocess.run(  # noqa: S603 -- our own script
        [SCRIPTS / script, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECS,
        check=False,
    )


def postgres_programs() -> list[str]:
    """Where pg_dump of the newest server is, which an older one of the PATH would refuse."""
    return [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def backups(folder: Path) -> list[Path]:
    return sorted((folder / "backups").iterdir())


@pytest.fixture
def file(tmp_path: Path) -> DatabaseSettings:
    """An SQLite database with an organization, in the folder `data` of the test's."""
    settings = DatabaseSettings(data_path=tmp_path / "data")
    revisions.upgrade(settings)
    find_or_make(settings.data_path)
    add(settings, "org:kept")
    return settings


def test_what_is_put_back_is_what_was_there_keys_secret_included(tmp_path: Path, file: DatabaseSettings) -> None:
    secret = find_or_make(file.data_path)
    made = run("backup.sh", tmp_path)
    assert made.returncode == 0, made.stderr
    (backup,) = backups(tmp_path)
    assert backup.stat().st_mode & 0o777 == 0o600
    for path in file.data_path.iterdir():
        path.unlink()
    restored = run("restore.sh", tmp_path, str(backup))
    assert restored.returncode == 0, restored.stderr
    assert organizations(file) == ["org:kept"]
    assert find_or_make(file.data_path) == secret
    assert {path.name for path in file.data_path.iterdir()} <= {
        "gateway.db",
        "gateway.db-wal",
        "gateway.db-shm",
        "key-hash.secret",
    }


def test_what_a_killed_gateway_has_left_beside_the_database_goes(tmp_path: Path, file: DatabaseSettings) -> None:
    run("backup.sh", tmp_path)
    (backup,) = backups(tmp_path)
    database, journal = file.data_path / "gateway.db", file.data_path / "gateway.db-wal"
    with closing(sqlite3.connect(database)) as open_all_the_while:
        open_all_the_while.execute("SELECT * FROM organizations").fetchall()
        add(file, "org:too-late")
        written = journal.read_bytes()
    assert written
    journal.write_bytes(written)
    assert run("restore.sh", tmp_path, str(backup)).returncode == 0
    with closing(sqlite3.connect(database)) as restored:  # an old journal's pages within a new file are no database
        assert restored.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert organizations(file) == ["org:kept"]


def test_nothing_is_left_in_the_gateways_folder(tmp_path: Path, file: DatabaseSettings) -> None:
    run("backup.sh", tmp_path)
    assert list(file.data_path.glob("backup*")) == []
    assert list(file.data_path.glob("restore*")) == []


def test_the_newest_are_kept_and_files_of_others_too(tmp_path: Path, file: DatabaseSettings) -> None:
    assert file.data_path.is_dir()
    folder = tmp_path / "backups"
    folder.mkdir()
    old = [folder / f"gateway-2026-01-0{day}T030000Z.tar" for day in range(1, 6)]
    for path in (*old, folder / "gateway-notes.txt", folder / "taxes.tar"):
        path.touch()
    assert run("backup.sh", tmp_path, BACKUP_KEEP="3").returncode == 0
    left = [path.name for path in backups(tmp_path)]
    assert [name for name in left if "2026-01" in name] == [path.name for path in old[-2:]]
    assert {"gateway-notes.txt", "taxes.tar"} <= set(left)
    assert len(left) == 5


def test_a_backup_that_fails_removes_no_older_one_and_leaves_no_half(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "gateway-2026-01-01T030000Z.tar").touch()
    result = run("backup.sh", tmp_path, BACKUP_KEEP="1")  # there is no database
    assert result.returncode != 0
    assert [path.name for path in backups(tmp_path)] == ["gateway-2026-01-01T030000Z.tar"]


def test_a_command_that_says_nothing_has_made_no_backup(tmp_path: Path) -> None:
    assert run("backup.sh", tmp_path, IN_GATEWAY="true").returncode != 0
    assert backups(tmp_path) == []


@pytest.mark.usefixtures("file")
def test_what_was_cut_off_is_no_backup_though_its_command_ended_well(tmp_path: Path) -> None:
    assert run("backup.sh", tmp_path).returncode == 0
    (whole,) = backups(tmp_path)
    command = tmp_path / "breaks-off"
    command.write_text(f'#!/bin/sh\n"$@" | head -c {whole.stat().st_size // 2}\n')
    command.chmod(0o755)
    assert run("backup.sh", tmp_path, IN_GATEWAY=f"{command} env").returncode != 0
    assert backups(tmp_path) == [whole]


def test_what_was_cut_off_is_not_put_back(tmp_path: Path, file: DatabaseSettings) -> None:
    run("backup.sh", tmp_path)
    (backup,) = backups(tmp_path)
    add(file, "org:later")
    content = backup.read_bytes()
    backup.write_bytes(content[: len(content) // 2])
    assert run("restore.sh", tmp_path, str(backup)).returncode != 0
    assert organizations(file) == ["org:kept", "org:later"]


@pytest.mark.parametrize("keep", ["0", "00", "08", "", "many", "-1"])
def test_no_number_of_backups_is_none_at_all(tmp_path: Path, keep: str) -> None:
    result = run("backup.sh", tmp_path, BACKUP_KEEP=keep or " ")
    assert (result.returncode, "BACKUP_KEEP" in result.stderr) == (2, True)


def test_nothing_is_put_back_under_a_gateway_that_runs(tmp_path: Path, file: DatabaseSettings) -> None:
    run("backup.sh", tmp_path)
    (backup,) = backups(tmp_path)
    add(file, "org:later")
    result = run("restore.sh", tmp_path, str(backup), RUNS_COMMAND="echo 4c01db0b339c")
    assert (result.returncode, "the gateway runs" in result.stderr) == (1, True)
    assert run("restore.sh", tmp_path, str(backup), RUNS_COMMAND="false").returncode != 0
    assert organizations(file) == ["org:kept", "org:later"]


def test_a_gateway_that_begins_again_and_again_is_one_that_runs(tmp_path: Path, file: DatabaseSettings) -> None:
    run("backup.sh", tmp_path)
    (backup,) = backups(tmp_path)
    docker = tmp_path / "docker"  # as Compose shows a container whose state is `restarting`
    docker.write_text('#!/bin/sh\ncase "$*" in *--status*) ;; *) echo 4c01db0b339c ;; esac\n')
    docker.chmod(0o755)
    by_default = "docker compose --project-directory /srv/llm ps --quiet gateway"
    command = next(line for line in (SCRIPTS / "restore.sh").read_text().splitlines() if "RUNS_COMMAND=" in line)
    assert by_default.replace("/srv/llm", "$STACK_DIR") in command
    result = run("restore.sh", tmp_path, str(backup), RUNS_COMMAND=by_default.replace("docker", str(docker), 1))
    assert (result.returncode, "the gateway runs" in result.stderr) == (1, True)
    assert organizations(file) == ["org:kept"]


def test_what_is_no_backup_leaves_the_database_alone(tmp_path: Path, file: DatabaseSettings) -> None:
    empty = tmp_path / "gateway-2026-01-01T030000Z.tar"
    with tarfile.open(empty, "w") as archive:
        archive.add(__file__, "./something.py")
    assert "is no backup" in run("restore.sh", tmp_path, str(empty)).stderr
    for path in (empty, tmp_path / "nobody.tar", Path(__file__)):
        assert run("restore.sh", tmp_path, str(path)).returncode != 0
    assert organizations(file) == ["org:kept"]


@pytest.mark.timeout(PATIENCE_SECS + 60)
def test_postgresql_is_put_back_as_it_was_without_a_password_on_a_command_line(tmp_path: Path) -> None:
    with postgres_server() as running:
        url = running.new_database()
        settings = DatabaseSettings(data_path=tmp_path / "data", database_url=SecretStr(url))
        revisions.upgrade(settings)
        add(settings, "org:kept")
        libpq = libpq_names(url)
        # As in Compose, where a command runs it that knows the server; this one alone does.
        elsewhere = "env " + " ".join(f"{name}={value}" for name, value in libpq.items())
        made = run("backup.sh", tmp_path, BACKUP_POSTGRES="yes", IN_POSTGRES=elsewhere)
        assert made.returncode == 0, made.stderr
        (backup,) = backups(tmp_path)
        assert backup.suffix == ".dump"
        add(settings, "org:too-late")
        restored = run("restore.sh", tmp_path, str(backup), **libpq)
        assert restored.returncode == 0, restored.stderr
        assert organizations(settings) == ["org:kept"]
        assert revisions.current(settings) == revisions.head()


def libpq_names(url: str) -> dict[str, str]:
    """What psycopg makes of a URL, under the names that libpq reads."""
    named = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    return {named[name]: str(value) for name, value in conninfo_to_dict(url).items() if name in named}
