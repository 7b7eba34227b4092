"""Tests of docs/data.md: its commands are run as they stand there, and what was in the database is there at the end."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.auth.key_secret import find_or_make
from gateway.database import revisions
from gateway.database.settings import DatabaseSettings
from gateway.elsewhere import FOREIGN
from gateway.settings import names
from tests.support.organizations import add, organizations
from tests.support.postgres import postgres_server

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "data.md").read_text()
URL = "postgresql://gateway:password@10.0.0.4:5432/gateway"
PATIENCE_SECS = 120


def block(heading: str) -> str:
    """The commands under a heading; the page's beginning has an empty one."""
    under = PAGE.partition(f"\n## {heading}\n")[2] if heading else PAGE
    found: list[str] = re.findall(r"```sh\n(.*?)```", under, re.DOTALL)
    return found[0]


@pytest.mark.timeout(PATIENCE_SECS + 30)
def test_backup_restore_and_the_way_to_postgresql_do_what_they_say(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "GATEWAY_API_KEY=sk-first-key\nBACKEND_API_KEY=key-of-a-backend\nCHAT_BACKENDS=http://c:1\n"
    )
    file = DatabaseSettings(data_path=tmp_path / "data")
    revisions.upgrade(file)
    secret = find_or_make(file.data_path)
    add(file, "org:kept")
    with postgres_server() as server:
        url = server.new_database()
        lost = "rm data/gateway.db* data/key-hash.secret"
        moving = block("From SQLite to PostgreSQL").replace(URL, url)
        assert url in moving
        printed = run("\n".join((block(""), block("Backup"), lost, block("Restore"), moving)), tmp_path)
        moved = DatabaseSettings(data_path=tmp_path / "data", database_url=SecretStr(url))
        assert organizations(moved) == ["org:kept"]
    assert find_or_make(file.data_path) == secret
    assert re.search(r"^organizations +1$", printed, re.MULTILINE)
    assert (tmp_path / "data" / "gateway.db.moved").is_file()


def run(script: str, folder: Path) -> str:
    """Standard output of the script; its failure is the test's."""
    known = {"GATEWAY_CONFIG", *names()}
    own = {name: value for name, value in os.environ.items() if name not in known}  # noqa: TID251 -- handed on
    result = subprocess.run(  # noqa: S603 -- our own page
        [shutil.which("bash") or "bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder,
        env={**own, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECS,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result.stdout


def test_every_setting_that_is_spoken_of_is_one() -> None:
    spoken = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", PAGE))
    backup = (ROOT / "deploy" / "systemd" / "backup.sh").read_text()
    ours = {*names(), *(foreign.name for foreign in FOREIGN)}
    assert spoken <= {*ours, *re.findall(r'^: "\$\{([A-Z_]+)', backup, re.MULTILINE)}
