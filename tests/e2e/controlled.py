"""How do tests of the control process have a host? A gateway with data of its own, clients that ask all the while."""

import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support import ledger
from tests.support.gateway import KEY, Gateway, RawClient, in_threads, wait_until

ADMIN = "admin-0123456789abcdef"
SECRET = "5f0c6a3e9d21b7845f0c6a3e9d21b784"
PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
SETTINGS: dict[str, object] = {
    "ADMIN_API_KEY": ADMIN,
    "KEY_HASH_SECRET": SECRET,
    "GATEWAY_WORKERS": 4,
    "MAX_RPS_PER_IP": 10_000,
    "RPS_BURST": 10_000,
    "FAILED_AUTH_BURST": 100_000,
    "CACHE_TTL_SECS": 0,
    "ORG_DAILY_TOKEN_LIMIT": 0,
    "ORG_DAILY_REQUEST_LIMIT": 0,
    "ORG_MONTHLY_TOKEN_LIMIT": 0,
}
THREADS = 4


class Host:
    """A gateway with its data on a disk of the test's own, and a memory that can be lost."""

    def __init__(self, make: MakeGateway, fleet: Fleet, folder: Path, **settings: object) -> None:
        self._make = make
        self._fleet = fleet
        self.data = folder / "data"
        self._settings = {**SETTINGS, "DATA_PATH": self.data, **settings}
        self.memory = Path(tempfile.mkdtemp(prefix="gw-", dir="/dev/shm"))
        self.gateway = self.start()

    def start(self, **settings: object) -> Gateway:
        """Start the gateway, and wait for its control process."""
        self._settings.update(settings)
        self.gateway = self._make(self._fleet, **self._settings, LIMITER_PATH=self.memory)
        self.on_duty()
        return self.gateway

    def on_duty(self, times: int = 1) -> None:
        """So many control processes have come to their turn."""
        wait_until(lambda: len(self.gateway.events("control_on_duty")) >= times)
        wait_until(lambda: len(self.gateway.events("control_serving")) >= times)

    def reboot(self, **settings: object) -> None:
        """The power fails, and comes back."""
        children = Path(f"/proc/{self.gateway.pid}/task/{self.gateway.pid}/children").read_text().split()
        for pid in (self.gateway.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        self.gateway.wait(30)
        shutil.rmtree(self.memory)
        self.memory = Path(tempfile.mkdtemp(prefix="gw-", dir="/dev/shm"))
        self.start(**settings)

    def control(self) -> int:
        """The control process's number."""
        found: list[int] = wait_until(lambda: controls(self.gateway))
        return found[0]

    def admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the admin API."""
        headers = {"X-Admin-Key": ADMIN, **options.pop("headers", {})}
        return httpx.request(method, self.gateway.url + path, headers=headers, timeout=30, trust_env=False, **options)

    def new_key(self, **chosen: Any) -> tuple[str, str]:
        """A key's id, and the key, made by the admin API."""
        answer = self.admin("POST", "/admin/v1/keys", json={"organization": "org:acme", **chosen})
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return made["id"], made["key"]

    def booked(self) -> Counter[str]:
        """How often each request stands in the ledger."""
        return Counter(record.request_id for record in ledger.booked(self.data / "gateway.db"))

    def summed(self) -> int:
        """The requests of the daily sums."""
        with sqlite3.connect(self.data / "gateway.db", timeout=30) as connection:
            return int(connection.execute("SELECT COALESCE(SUM(requests), 0) FROM usage_daily").fetchone()[0])


def controls(gateway: Gateway) -> list[int]:
    """The supervisor's living control processes."""
    found = []
    for pid in Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split():
        try:
            if b"gateway.control" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
        except FileNotFoundError:
            continue
    return found


MakeHost = Callable[..., Host]


@pytest.fixture
def make_host(chat_fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path) -> Iterator[MakeHost]:
    """Starts hosts with a test's own settings, in folders of these names."""
    made: list[Host] = []

    def make(name: str = "host", **settings: object) -> Host:
        made.append(Host(make_gateway, chat_fleet, tmp_path / name, **settings))
        return made[-1]

    yield make
    for host in made:
        host.gateway.stop()
        shutil.rmtree(host.memory, ignore_errors=True)


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    return make_host()


def ask(client: RawClient, key: str = KEY) -> tuple[int, str]:
    """The status and the id of one answer on a connection that stays open."""
    client.received = b""
    client.post(PATH, BODY, key=key)
    head, _, body = client.until(b"\r\n\r\n").partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += client.socket.recv(65536)
    return int(head.split(b" ")[1]), fields[b"x-request-id"].decode()


class Load:
    """Clients that ask all the while, and the ids of what they were answered."""

    def __init__(self) -> None:
        self.answered: list[tuple[float, str]] = []

    def ids(self) -> set[str]:
        return {name for _, name in self.answered}


@contextmanager
def load(gateway: Gateway, key: str = KEY) -> Iterator[Load]:
    """Requests all the while; each must be answered with 200."""
    stop = threading.Event()
    found = Load()

    def work(_: int) -> None:
        while not stop.is_set():
            with RawClient(gateway.port) as client:
                while not stop.is_set() and b"connection: close" not in client.received.lower():
                    status, name = ask(client, key)
                    assert status == 200
                    found.answered.append((time.monotonic(), name))

    with in_threads(THREADS, work) as failures:
        try:
            wait_until(lambda: len(found.answered) > THREADS or failures)
            yield found
        finally:
            stop.set()
    assert not failures, failures
