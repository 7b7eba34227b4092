"""How does a test run OpenAI's client for Node.js? From a lock file, in a process that prints what it saw as JSON."""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from tests.support import docker

HOME = Path(__file__).resolve().parents[1] / "e2e" / "node"
MINIMUM = 20
"""The oldest Node.js that the pinned client supports."""
INSTALL_SECS = 180.0
PATIENCE = 30.0


@cache
def missing() -> str | None:
    """Why the client cannot be run here, or None; installs what the lock file names, once per lock file."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    version = docker.run("node", "--version").stdout
    if (major := re.match(r"v(\d+)\.", version)) is None or int(major[1]) < MINIMUM:
        return f"Node.js {version.strip()} is older than {MINIMUM}"
    return _install()


def require() -> None:
    """Skip, or fail where CI is set, when the client cannot be run."""
    if (reason := missing()) is not None:
        docker.skip_or_fail(f"needs Node.js >= {MINIMUM} with npm: {reason}")


def ask(call: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Make one call of client.mjs, to its end."""
    with asking(call, variables) as process:
        return result(process)


@contextmanager
def asking(call: str, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """One call of client.mjs that goes on; leaving the scope kills what still runs."""
    environment = {"PATH": os.environ["PATH"], **variables}  # noqa: TID251 -- a child needs it
    command = ["node", str(HOME / "client.mjs"), call]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe) as process:  # noqa: S603 -- ours
        try:
            yield process
        finally:
            process.kill()


def result(process: subprocess.Popen[bytes], said: bytes | None = None) -> dict[str, Any]:
    """What it printed at its end, having been told `said`."""
    printed, complaint = process.communicate(said, timeout=PATIENCE)
    assert process.returncode == 0, complaint.decode()
    seen: dict[str, Any] = orjson.loads(printed)
    return seen


def _install() -> str | None:
    """Fetch what the lock file names where it is not there; why that failed, or None."""
    wanted, stamp = (HOME / "package-lock.json").read_bytes(), HOME / "node_modules" / ".installed-from"
    # Of several test processes one fetches, the others find it.
    with (HOME / "package.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_bytes() == wanted:
            return None
        answer = docker.run("npm", "ci", "--prefix", str(HOME), seconds=INSTALL_SECS)
        if answer.returncode != 0:
            return f"npm ci failed: {answer.stderr[-300:]}"
        stamp.write_bytes(wanted)
        return None
