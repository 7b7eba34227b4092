"""PostgreSQL dies, stands still or is cut off while keys are used, made and revoked: nobody with a key is told 401."""

import select
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
import pytest

from gateway.auth.api_key import mint
from tests.e2e.conftest import Fleet, MakeGateway
from tests.support import ledger
from tests.support.gateway import Gateway, wait_until
from tests.support.postgres import PostgresServer, postgres_server

ADMIN = "admin-0123456789abcdef"
SETTINGS: dict[str, object] = {
    "ADMIN_API_KEY": ADMIN,
    "KEY_HASH_SECRET": "5f0c6a3e9d21b7845f0c6a3e9d21b784",
    "GATEWAY_WORKERS": 2,
    "KEYS_FRESH_SECS": 2,
    "MAX_RPS_PER_IP": 10_000,
    "RPS_BURST": 10_000,
    "FAILED_AUTH_BURST": 100_000,
}
PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
ASKED = 6
"""Requests on connections of their own, so that either worker is asked: two, of whom the kernel picks."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


class Host:
    """A gateway, its operators and its clients."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.served: list[str] = []
        wait_until(lambda: self.admin("GET", "/keys").status_code == 200)

    def admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the admin API."""
        url, known = f"{self.gateway.url}/admin/v1{path}", {"X-Admin-Key": ADMIN}
        return httpx.request(method, url, headers=known, timeout=30, trust_env=False, **options)

    def make(self) -> httpx.Response:
        """Ask for a key."""
        return self.admin("POST", "/keys", json={"organization": "org:acme"})

    def statuses(self, key: str) -> Counter[int]:
        """What a key gets, at each worker."""
        found: Counter[int] = Counter()
        for _ in range(ASKED):
            known = {"authorization": f"Bearer {key}"}
            answer = httpx.post(self.gateway.url + PATH, json=BODY, headers=known, timeout=30, trust_env=False)
            found[answer.status_code] += 1
            if answer.status_code == 200:
                self.served.append(answer.headers["x-request-id"])
        return found

    def all_get(self, key: str, status: int) -> bool:
        """Whether that is what it gets everywhere."""
        return self.statuses(key).keys() == {status}

    def hears_of_the_database(self, *, up: bool) -> bool:
        """Whether its control process says so."""
        return self.gateway.metrics()["gateway_database_up"] == up


def booked(url: str) -> Counter[str]:
    """How often each request stands in the ledger."""
    with psycopg.connect(url) as connection:
        contents = (content for (content,) in connection.execute("SELECT content FROM usage_sheets"))
        return Counter(record.request_id for record in ledger.read(contents))


@contextmanager
def killed(postgres: PostgresServer) -> Iterator[None]:
    """It is not there."""
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


def frozen(postgres: PostgresServer) -> AbstractContextManager[None]:
    """It takes connections and answers nobody."""
    return postgres.frozen()


@pytest.mark.parametrize("away", [killed, frozen])
def test_while_the_database_is_away_known_keys_work_others_get_503_and_nothing_changes(
    chat_fleet: Fleet, make_gateway: MakeGateway, postgres: PostgresServer, away: Any
) -> None:
    url = postgres.new_database()
    host = Host(make_gateway(chat_fleet, **SETTINGS, DATABASE_URL=url))
    made, used = host.make().json(), host.make().json()
    wait_until(lambda: host.all_get(used["key"], 200))
    stranger = mint()
    wait_until(lambda: host.all_get(stranger, 401))
    with away(postgres):
        wait_until(lambda: host.hears_of_the_database(up=False))
        wait_until(lambda: host.all_get(stranger, 503))
        assert host.all_get(used["key"], 200)
        assert host.all_get(made["key"], 200), "no worker had seen it, but it was published"
        assert host.make().status_code == 503
        assert host.admin("POST", f"/keys/{used['id']}/revoke").status_code == 503
        assert host.all_get(stranger, 503)
        assert host.all_get(used["key"], 200)
    wait_until(lambda: host.hears_of_the_database(up=True))
    wait_until(lambda: host.all_get(stranger, 401))
    assert host.admin("POST", f"/keys/{used['id']}/revoke").status_code == 200
    assert host.admin("GET", f"/keys/{used['id']}").json()["revoked_at"]
    wait_until(lambda: host.all_get(used["key"], 401))
    late = host.make().json()["key"]
    wait_until(lambda: host.all_get(late, 200))
    assert host.all_get(made["key"], 200)
    wait_until(lambda: booked(url).keys() >= set(host.served))
    assert booked(url) == Counter(host.served)


class Way:
    """A way to the database that can be cut: what is under way then, and what comes, waits for ever."""

    def __init__(self, server: Path, folder: Path) -> None:
        self._server = server
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / server.name))
        self._listening.listen()
        self._ends: list[socket.socket] = []
        self._open = threading.Event()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._open.set()
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._open.set()
        for thread in self._threads:
            thread.join()
        for end in (self._listening, *self._ends):
            end.close()

    def cut(self) -> None:
        """Nothing passes."""
        self._open.clear()

    def mend(self) -> None:
        """What waits goes on."""
        self._open.set()

    def _begin(self, work: Any, *what: object) -> None:
        thread = threading.Thread(target=work, args=what)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            if select.select([self._listening], [], [], 0.05)[0]:
                client, server = self._listening.accept()[0], socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._ends += [client, server]
                self._begin(self._pass, client, server)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        while not self._over.is_set():
            for end in select.select(list(other), [], [], 0.05)[0]:
                self._open.wait()
                try:
                    data = end.recv(65536)
                    other[end].sendall(data)
                except OSError:
                    data = b""
                if not data:
                    other[end].close()
                    end.close()
                    return


def test_a_key_that_was_revoked_elsewhere_while_a_host_was_cut_off_is_refused_there_when_it_is_back(
    chat_fleet: Fleet, make_gateway: MakeGateway, postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.new_database()
    folder = Path(url.partition("?host=")[2])
    with Way(folder / ".s.PGSQL.5432", tmp_path) as way:
        cut = make_gateway(chat_fleet, **SETTINGS, DATABASE_URL=url.replace(str(folder), str(tmp_path)))
        here, there = Host(cut), Host(make_gateway(chat_fleet, **SETTINGS, DATABASE_URL=url))
        kept, revoked = there.make().json(), there.make().json()
        wait_until(lambda: all(host.all_get(revoked["key"], 200) for host in (here, there)))
        way.cut()
        wait_until(lambda: here.hears_of_the_database(up=False))
        assert there.admin("POST", f"/keys/{revoked['id']}/revoke").status_code == 200
        made = there.make().json()
        wait_until(lambda: there.all_get(revoked["key"], 401))
        wait_until(lambda: there.all_get(made["key"], 200))
        wait_until(lambda: here.all_get(made["key"], 503))
        assert here.all_get(revoked["key"], 200), "it cannot have heard of it"
        way.mend()
        wait_until(lambda: here.hears_of_the_database(up=True))
        wait_until(lambda: here.all_get(revoked["key"], 401))
        wait_until(lambda: here.all_get(made["key"], 200))
        assert here.all_get(kept["key"], 200)
        wait_until(lambda: booked(url).keys() >= {*here.served, *there.served})
        assert booked(url) == Counter(here.served + there.served)
        for host in (here, there):
            assert host.gateway.stop() == 0
