"""How does a test use curl? As a real process that runs what a README shows, from an address of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import docker
from tests.support.front_door import FrontDoor

PARTIAL_BODY = 18
"""Curl's exit code for a body that ended before its end, over HTTP/1.1."""
STREAM_RESET = 92
"""The same over HTTP/2: the stream was not closed cleanly."""
PATIENCE = 30.0


class Curl:
    """Curl at a front door, which it trusts.

    Args:
        folder: an empty one, for its settings.
        address: where its connections come from, on loopback; each address is an organization.
    """

    def __init__(self, door: FrontDoor, folder: Path, address: str) -> None:
        if shutil.which("curl") is None:
            docker.skip_or_fail("needs curl")
        self.url = door.url
        (folder / ".curlrc").write_text(f'silent\nshow-error\nnoproxy = "*"\ninterface = {address}\n')
        path = os.environ.get("PATH", os.defpath)  # noqa: TID251 -- where programs are
        self._environment = {"PATH": path, "CURL_HOME": str(folder), **door.environment()}

    def run(self, path: str, *options: str) -> subprocess.CompletedProcess[str]:
        """One request, to its end; a failure is the caller's to read."""
        return self._run(["curl", *options, self.url + path])

    def paste(self, command: str) -> subprocess.CompletedProcess[str]:
        """A shell command as documentation shows it, to its end."""
        return self._run(["bash", "-c", command])

    def python(self, program: str) -> subprocess.CompletedProcess[str]:
        """A Python program as documentation shows it, with what curl trusts, to its end."""
        return self._run([sys.executable, "-c", program])

    @contextmanager
    def start(self, path: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """A request that goes on, its output unbuffered; leaving the scope kills it, as a client that leaves does."""
        command = ["curl", "--no-buffer", *options, self.url + path]
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE) as process:  # noqa: S603 -- fixed
            try:
                yield process
            finally:
                process.kill()

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 -- the tests' own commands
            command, env=self._environment, capture_output=True, text=True, check=False, timeout=PATIENCE
        )


def require_http2() -> None:
    """Skip, or fail where CI is set, when this curl cannot speak HTTP/2."""
    if shutil.which("curl") is None or "HTTP2" not in docker.run("curl", "--version").stdout:
        docker.skip_or_fail("needs curl with HTTP/2")
