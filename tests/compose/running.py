"""How does a test get the running stack? Built from this checkout, without GPUs, on free ports; gone afterwards."""

import contextlib
import fcntl
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.compose.project import GATEWAY_KEY, KEYS, SIMULATED, Project
from tests.support import docker
from tests.support.nginx import IMAGE, development_certificate

PYTHON = "python:3.13-slim"
BUILD_SECS = 600.0
UP_SECS = 240.0
PATIENCE_SECS = 240.0
"""For what an operator would wait for, too: healthchecks every 15 s, a container that starts anew."""
STANDINS = {PYTHON: "python", IMAGE: "nginx", "valkey/valkey:9.1-alpine": "valkey", "postgres:18-alpine": "postgres"}


@dataclass(frozen=True, slots=True)
class Stack:
    """The running project.

    Attributes:
        project: its files and `.env`.
        directory: where `.env` lies, and the certificates in `certs`.
        base_url: nginx as a client on this host reaches it.
        key: the GATEWAY_API_KEY.
    """

    project: Project
    directory: Path
    base_url: str
    key: str

    @property
    def trusted(self) -> ssl.SSLContext:
        """Trusts the certificate that lies in the folder now."""
        return ssl.create_default_context(cafile=str(self.directory / "certs" / "fullchain.pem"))

    def client(self, key: str = "") -> httpx.Client:
        """A client with that key, else GATEWAY_API_KEY."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.base_url, verify=self.trusted, headers=headers, timeout=60)

    def containers(self) -> dict[str, str]:
        """Name and state of every container of the project, ended ones included."""
        answer = self.project.run("ps", "--all", "--format", "{{.Name}} {{.State}}/{{.Health}}{{.ExitCode}}")
        return dict(line.rsplit(" ", 1) for line in answer.stdout.splitlines())

    def ids(self, service: str) -> list[str]:
        """The running containers of a service."""
        return self.project.run("ps", "--quiet", service).stdout.split()

    def inspect(self, *names: str) -> list[dict[str, Any]]:
        """What the engine says of containers."""
        answer = docker.run("docker", "inspect", *names)
        assert answer.returncode == 0, answer.stderr
        found: list[dict[str, Any]] = msgspec.json.decode(answer.stdout)
        return found

    def succeed(self, *arguments: str, seconds: float = UP_SECS) -> str:
        """`docker compose ARGUMENTS`, which must end well; what it printed."""
        answer = self.project.run(*arguments, seconds=seconds)
        if answer.returncode != 0:
            logs = self.project.run("logs", "--no-color", "--tail", "30").stdout
            raise AssertionError(f"docker compose {' '.join(arguments)}: {answer.stderr[-2000:]}\n{logs[-6000:]}")
        return answer.stdout

    def gateway(self, *words: str) -> str:
        """`gateway WORDS` in a container of the gateway; what it printed."""
        return self.succeed("exec", "-T", "gateway", "gateway", *words).strip()

    def wait_until_ready(self) -> None:
        """Models may have been asked before they were there: the gateway says when it has seen them."""
        with self.client() as client:
            eventually(lambda: client.get("/ready").status_code == 200)


@contextlib.contextmanager
def stack(
    directory: Path, settings: Mapping[str, str], images: tuple[str, ...] = (PYTHON, IMAGE), key: str = GATEWAY_KEY
) -> Iterator[Stack]:
    """The stack with the files of `SIMULATED`; its containers' names are fixed, so one at a time.

    Args:
        directory: for `.env` and certificates.
        settings: `.env` beyond ports, certificates and `KEYS`, before which they go.
        images: those that it needs, with stand-ins.
        key: GATEWAY_API_KEY, if `settings` has another one.
    """
    with _alone():
        _need_engine(images)
        certificates = directory / "certs"
        development_certificate(certificates)
        https_port = free_port()
        where = {
            "CERTS_DIR": str(certificates),
            "PUBLISH_ADDRESS": "127.0.0.1",
            "HTTP_PORT": str(free_port()),
            "HTTPS_PORT": str(https_port),
            "NGINX_TMPFS_SIZE": "64m",
            "EDGE_SUBNET": "10.198.77.0/24",
            "GATEWAY_WORKERS": "2",
        }
        project = Project(directory, SIMULATED, {**KEYS, **where, **settings})
        made = Stack(project, directory, f"https://localhost:{https_port}", key)
        try:
            made.succeed("build", "gateway", seconds=BUILD_SECS)
            made.succeed("up", "--detach", "--no-build", "--wait", *_services(project))
            yield made
        finally:
            project.run("down", "--timeout", "5", "--volumes", seconds=UP_SECS)


def eventually(holds: Callable[[], bool], seconds: float = PATIENCE_SECS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _services(project: Project) -> list[str]:
    """All services but the one-shot one: `--wait` takes an end, even a good one, for a failure."""
    return sorted(set(project.config()["services"]) - {"models"})


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Other processes of this test run wait for their turn."""
    with (Path(tempfile.gettempdir()) / "inference-stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _need_engine(images: tuple[str, ...]) -> None:
    reason = docker.missing_engine()
    for image in images:
        reason = reason or docker.missing_image(image, standin=STANDINS[image])
    if reason is not None:
        docker.skip_or_fail(f"needs a Docker engine with {', '.join(images)}: {reason}")
    running = docker.run("docker", "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=inference")
    if running.stdout.strip():
        pytest.skip("a stack is running here; its containers' names are taken")
