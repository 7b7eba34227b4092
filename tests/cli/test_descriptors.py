"""A gateway whose standard streams are closed starts and ends like any other, and one with few files asks for more."""

import itertools
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from gateway.cli.descriptors import ENOUGH
from tests.support.gateway import BACKEND_KEY, KEY, Gateway, free_port, wait_until

START_SECS = 30.0
CLOSED = [closed for count in (1, 2, 3) for closed in itertools.combinations((0, 1, 2), count)]


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("closed", CLOSED, ids=str)
def test_a_gateway_with_closed_standard_streams_serves_and_ends(closed: tuple[int, ...], tmp_path: Path) -> None:
    port = free_port()
    with TemporaryDirectory(prefix="gw-", dir="/dev/shm") as limiter:
        environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251 -- a child needs it
            "GATEWAY_API_KEY": KEY,
            "BACKEND_API_KEY": BACKEND_KEY,
            "GATEWAY_PORT": str(port),
            "GATEWAY_WORKERS": "1",
            "METRICS_PORT": "0",
            "LIMITER_PATH": limiter,
            "CHAT_BACKENDS": "http://127.0.0.1:9",
        }
        close = " ".join(f"{number}>&-" for number in closed)
        process = subprocess.Popen(  # noqa: S603 -- a shell, as only a shell closes descriptors
            ["/bin/sh", "-c", f'exec "{sys.executable}" -m gateway serve {close}'],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        try:
            wait_until(lambda: answers(port) or process.poll() is not None, START_SECS)
            process.send_signal(signal.SIGTERM)
            assert process.wait(START_SECS) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(("soft", "hard", "allowed"), [(64, 4000, 4000), (300, 300, 300)])
def test_as_many_files_as_the_hard_limit_lets_are_asked_for_and_handed_on(soft: int, hard: int, allowed: int) -> None:
    code = (
        "import resource, subprocess, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from gateway.cli.descriptors import allow_descriptors\n"
        "allow_descriptors()\n"
        "subprocess.run(['sh', '-c', 'ulimit -n'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 -- our own words
    assert int(ran.stdout) == allowed


class WithFewFiles(Gateway):
    """One that is started as systemd, or a container of Docker 29, starts it: with few files, and many if it asks."""

    within = ("sh", "-c", 'ulimit -S -n 200; exec "$@"', "sh")


def test_a_worker_may_open_what_the_hard_limit_lets(tmp_path: Path) -> None:
    with WithFewFiles(tmp_path, CHAT_BACKENDS="http://127.0.0.1:9", GATEWAY_WORKERS=1) as gateway:
        for pid in (gateway.pid, *gateway.worker_pids()):
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            assert soft == min(hard, ENOUGH) > 200
