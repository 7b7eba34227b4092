"""What do tests of several hosts share? A real server of their own, as a child process on a unix socket."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis
import pytest

from gateway.store.settings import default_path
from gateway.store.valkey.connection import packed
from tests.support import docker

PROMPTLY = 20.0
IMAGE = "valkey/valkey:9.1-alpine"


def program() -> str:
    """The server's program. Without one the tests are skipped on a laptop and fail in CI."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        reason = "neither valkey-server nor redis-server is installed: `apt-get install redis-server`"
        if os.environ.get("CI") == "true":  # noqa: TID251 -- as in tests/support
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Server:
    """A server without persistence, in a folder of its own; a restart begins with nothing."""

    def __init__(self, folder: Path, *options: str, command: Sequence[str] = ()) -> None:
        self.socket = folder / "server.sock"
        self._command = command or [program()]
        self._options = options
        self._folder = folder
        self.start()

    def stand_in(self, path: Path) -> None:
        """Be found where another server was."""
        self.socket.rename(path)
        self.socket = path

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        listening = ("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700")
        kept = ("--save", "", "--appendonly", "no", "--dir", str(self._folder), "--logfile", str(self._folder / "log"))
        self._process = subprocess.Popen(  # noqa: S603 -- the system's server
            [*self._command, *listening, *kept, *self._options], stdout=subprocess.DEVNULL
        )
        ends = time.monotonic() + PROMPTLY
        while not self._answers():
            if time.monotonic() > ends or self._process.poll() is not None:
                self.stop()
                pytest.fail((self._folder / "log").read_text())

    def _answers(self) -> bool:
        try:
            self.ask("PING")  # whatever it answers
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()
        self.socket.unlink(missing_ok=True)

    def send(self, what: signal.Signals) -> None:
        self._process.send_signal(what)

    def ask(self, *words: str | bytes) -> Any:
        """One command on a connection of its own, which blocks."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PROMPTLY)
            client.connect(str(self.socket))
            client.sendall(packed(words))
            reader = hiredis.Reader()
            while (reply := reader.gets()) is False:
                reader.feed(client.recv(2**16))
            return reply


def free_port() -> int:
    """One whose number leaves room for the cluster's own port above it, which is 10,000 higher."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        if port < 50_000:
            return port


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """A server until the end of the block."""
    with folder_of_its_own() as folder:
        server = Server(folder, *options)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_image() -> Iterator[Server]:
    """Valkey as its publishers ship it. Where no image is at hand, which CI does not fetch, its tests are skipped."""
    missing = docker.missing_engine()
    if missing is None and docker.run("docker", "image", "inspect", IMAGE).returncode != 0:
        missing = f"`docker pull {IMAGE}`"
    if missing is not None:
        pytest.skip(f"not tried with Valkey itself: {missing}")
    with folder_of_its_own() as folder:
        name, user = folder.name, f"{os.getuid()}:{os.getgid()}"
        started = ("docker", "run", "--rm", "--name", name, "--network", "none", "--user", user)
        command = (*started, "--volume", f"{folder}:{folder}", IMAGE, "valkey-server")
        server = Server(folder, command=command)
        try:
            yield server
        finally:
            docker.run("docker", "kill", name)
            server.stop()


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gw-", dir=default_path().parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
