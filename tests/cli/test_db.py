"""Tests of `gateway db`, run as an operator runs it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.auth.key_secret import find_or_make
from gateway.database.revisions import head
from gateway.settings import names

ENOUGH_SECS = 50
KEYS = {
    "GATEWAY_API_KEY": "sk-first-key",
    "BACKEND_API_KEY": "backend-key-1",
    "CHAT_BACKENDS": "http://chat0:8000",
    "KEY_HASH_SECRET": "5f3c0b7e9d1a4e6688b2d4f0a1c3e5975f3c0b7e9d1a4e6688b2d4f0a1c3e597",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A valid configuration whose database is a file in a folder of its own."""
    own = {name: value for name, value in os.environ.items() if name not in {*names(), "GATEWAY_CONFIG"}}  # noqa: TID251 -- handed on
    return {**own, **KEYS, "DATA_PATH": str(tmp_path / "data")}


def run(*arguments: str, env: dict[str, str], typed: str = "") -> subprocess.CompletedProcess[str]:
    """`gateway db` with these arguments."""
    return subprocess.run(  # noqa: S603 -- this interpreter, our own module
        [sys.executable, "-P", "-m", "gateway", "db", *arguments],
        cwd=env["DATA_PATH"].removesuffix("/data"),
        env=env,
        input=typed,
        capture_output=True,
        text=True,
        timeout=ENOUGH_SECS,
        check=False,
    )


def test_a_schema_goes_up_and_down_and_its_revision_is_told(environment: dict[str, str]) -> None:
    before = run("current", env=environment)
    assert (before.returncode, before.stdout) == (1, f"base (this version of the gateway needs {head()})\n")
    assert run("upgrade", env=environment).stdout == f"{head()}\n"
    assert run("current", env=environment).returncode == 0
    down = run("downgrade", "0001", "--yes", env=environment)
    assert (down.returncode, down.stdout) == (0, f"0001 (this version of the gateway needs {head()})\n")
    assert run("upgrade", "0002", env=environment).stdout.startswith("0002 ")


def test_a_downgrade_asks_first(environment: dict[str, str]) -> None:
    run("upgrade", env=environment)
    refused = run("downgrade", "base", env=environment, typed="n\n")
    assert refused.returncode == 1
    assert "will be lost" in refused.stdout
    assert run("current", env=environment).stdout == f"{head()}\n"
    assert run("downgrade", "base", env=environment, typed="y\n").returncode == 0
    with sqlite3.connect(Path(environment["DATA_PATH"]) / "gateway.db") as file:
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    file.close()
    assert tables == {"alembic_version"}


@pytest.mark.parametrize(
    ("changed", "arguments", "said"),
    [
        ({"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/n"}, ["upgrade"], "Connection refused"),
        ({"DATABASE_URL": "mysql://u:hunter2@h/n"}, ["current"], "DATABASE_URL must begin with postgresql://"),
        ({}, ["upgrade", "9999"], "9999"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_without_a_secret(
    environment: dict[str, str], changed: dict[str, str], arguments: list[str], said: str
) -> None:
    result = run(*arguments, env={**environment, **changed})
    assert result.returncode == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.stderr


def test_a_backup_has_the_secret_without_which_its_keys_are_not_known(
    environment: dict[str, str], tmp_path: Path
) -> None:
    without = {name: value for name, value in environment.items() if name != "KEY_HASH_SECRET"}
    run("upgrade", env=without)
    secret = find_or_make(tmp_path / "data")
    done = run("backup", "kept.db", env=without)
    assert (done.returncode, done.stderr) == (0, "")
    copied = tmp_path / "kept.db.key-hash.secret"
    assert copied.read_text().strip() == secret
    assert copied.stat().st_mode & 0o777 == 0o600
    again = run("backup", "kept.db", env=without)
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    assert "is not overwritten" in again.stderr
    assert run("backup", "other.db", env=environment).returncode == 0
    assert not (tmp_path / "other.db.key-hash.secret").exists(), "that of KEY_HASH_SECRET is in use, and not the file's"


def test_a_copy_says_how_many_rows_each_table_has_got(environment: dict[str, str], tmp_path: Path) -> None:
    run("upgrade", env=environment)
    elsewhere = {**environment, "DATABASE_URL": f"sqlite:///{tmp_path}/new.db"}
    done = run("copy", env=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split() for line in done.stdout.splitlines())
    assert (rows["changes"], rows["api_keys"]) == ("1", "0")
    assert run("current", env=elsewhere).returncode == 0
    same = run("copy", "--from", elsewhere["DATABASE_URL"], env=elsewhere)
    assert (same.returncode, same.stderr.count("\n")) == (1, 1)
    mistyped = run("copy", "--from", "mysql://u:hunter2@h/n", env=elsewhere)
    assert mistyped.returncode == 2
    assert "--from must begin with postgresql://" in mistyped.stderr
    assert "hunter2" not in mistyped.stderr
