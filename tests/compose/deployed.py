"""How is a checkout deployed in a test? As a copy with a `.env` of its own, by the script of `make deploy`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from gateway.settings import names
from tests.compose.project import ROOT

PARTS = ("docker-compose.yml", "compose.sim.yml", "Dockerfile", ".dockerignore", "pyproject.toml", "README.md")
FOLDERS = ("gateway", "nginx", "requirements", "scripts")
DEPLOY_SECS = 400.0


def check_out(folder: Path) -> None:
    """What an operator has after `make install`, but for the `.env`."""
    for name in PARTS:
        shutil.copy(ROOT / name, folder)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    command = folder / ".venv" / "bin" / "gateway"
    if not command.exists():
        command.parent.mkdir(parents=True)
        command.symlink_to(Path(sys.executable).parent / "gateway")


def deploy(folder: Path) -> subprocess.CompletedProcess[str]:
    """`make deploy SIM=1` there."""
    return _run(folder, "scripts/deploy.sh", SIM="1")


def told(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The findings of `gateway doctor --sim` that are not `ok`, by `subject/check`."""
    answer = _run(folder, ".venv/bin/gateway", "doctor", "--sim", "--json")
    found: dict[str, list[dict[str, Any]]] = {}
    for one in orjson.loads(answer.stdout)["findings"]:
        if one["level"] != "ok":
            found.setdefault(f"{one['subject']}/{one['check']}", []).append(one)
    return found


def _run(folder: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if name not in {*names(), "GATEWAY_CONFIG"}}  # noqa: TID251 -- handed on
    return subprocess.run(  # noqa: S603 -- fixed words
        [str(folder / command[0]), *command[1:]],
        cwd=folder,
        env={**ours, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEPLOY_SECS,
    )
