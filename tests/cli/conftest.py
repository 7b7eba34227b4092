"""What do the tests of commands that ask a gateway share? An admin API on a socket, and the command as it is typed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.database import revisions
from gateway.database.settings import DatabaseSettings
from gateway.settings import names
from tests.support.admin import ADMIN_KEY, AdminServer

ENOUGH_SECS = 50
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AdminServer]:
    settings = DatabaseSettings(data_path=tmp_path / "data")
    revisions.upgrade(settings)
    with AdminServer(settings) as running:
        yield running


@pytest.fixture
def gateway(server: AdminServer, tmp_path: Path) -> Run:
    """`gateway` with these arguments, in a folder whose `.env` says where the gateway is."""
    (tmp_path / ".env").write_text(f"ADMIN_API_KEY={ADMIN_KEY},second-0123456789abcdef\nGATEWAY_URL={server.url}\n")
    known = {*names(), "GATEWAY_CONFIG", "USER", "LOGNAME"}
    own = {name: value for name, value in os.environ.items() if name not in known}  # noqa: TID251 -- handed on

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 -- this interpreter, our own module
            [sys.executable, "-P", "-m", "gateway", *arguments],
            cwd=tmp_path,
            env={**own, "LOGNAME": "alice", **environment},
            capture_output=True,
            text=True,
            timeout=ENOUGH_SECS,
            check=False,
        )

    return run
