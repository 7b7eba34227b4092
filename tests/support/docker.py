"""What can Docker do here? The engine, Compose v2 and the images that tests run."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

COMPOSE_MINIMUM = (2, 24)
"""`!reset` in an override file needs it."""
PULL_SECS = 180.0
BUILD_SECS = 900.0


def run(*command: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; a failure is the caller's to read."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)  # noqa: S603 -- fixed


def skip_or_fail(reason: str) -> NoReturn:
    """Skip on a laptop, where the reason stands in the summary; fail where CI is set: there a gap must be seen."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:  # noqa: TID251 -- the switch that all CI systems set
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@cache
def missing_engine() -> str | None:
    """Why no container can be started, or None."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    answer = run("docker", "version", "--format", "{{.Server.Version}}")
    return None if answer.returncode == 0 else "no Docker engine answers"


@cache
def missing_compose() -> str | None:
    """Why Compose files cannot be read, or None; no engine is needed for that."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    answer = run("docker", "compose", "version", "--short")
    version = re.match(r"v?(\d+)\.(\d+)", answer.stdout)
    if answer.returncode != 0 or version is None:
        return "there is no Compose v2"
    if (int(version[1]), int(version[2])) < COMPOSE_MINIMUM:
        return f"Compose {answer.stdout.strip()} is older than 2.24"
    return None


def missing_image(image: str, *, standin: str) -> str | None:
    """Why `image` cannot be had, or None: it is here, or can be pulled, or its stand-in can be built."""
    if run("docker", "image", "inspect", image).returncode == 0:
        return None
    if run("docker", "pull", "--quiet", image, seconds=PULL_SECS).returncode == 0:
        return None
    build = Path(__file__).resolve().parents[1] / "standins" / "build.sh"
    if os.getuid() != 0 or shutil.which("debootstrap") is None:
        return f"it cannot be pulled, and {build.name} needs root and debootstrap"
    answer = run(str(build), "--only", standin, seconds=BUILD_SECS)
    return None if answer.returncode == 0 else f"{build.name} failed: {answer.stderr[-300:]}"
