"""A gateway whose standard streams are closed starts and ends like any other."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.support.gateway import BACKEND_KEY, KEY, free_port, wait_until

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
