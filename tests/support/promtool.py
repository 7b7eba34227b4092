"""Who checks rules and routes? Prometheus' promtool and Alertmanager's amtool, from the distribution's packages."""

import shutil
import subprocess
from pathlib import Path

from tests.support import docker

PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}
"""Debian's, and those of what comes from it."""


def run_tool(
    name: str, *arguments: str, cwd: Path, text: str | None = None, seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """`name ARGUMENTS` in `cwd`, given that text. Without one the test is skipped, or fails where CI is set."""
    found = shutil.which(name)
    if found is None:
        docker.skip_or_fail(f"there is no {name}: `apt-get install {PACKAGES[name]}`")
    return subprocess.run(  # noqa: S603 -- found on PATH, our own files
        [found, *arguments], cwd=cwd, input=text, capture_output=True, text=True, check=False, timeout=seconds
    )
