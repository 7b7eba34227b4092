"""The control process at a real gateway: what it does is done once, whatever dies, and requests never wait for it."""

import contextlib
import os
import shutil
import signal
import sqlite3
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support import ledger
from tests.support.gateway import KEY, Gateway, RawClient, in_threads, wait_until
from tests.support.postgres import PostgresServer, postgres_server

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
OUTAGE_SECS = 5.0
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


def wait_for_more(found: Load) -> None:
    """Requests are answered from now on, too."""
    count = len(found.answered)
    wait_until(lambda: len(found.answered) > count + 50)


@contextmanager
def one_client_of_each_worker(gateway: Gateway) -> Iterator[dict[int, RawClient]]:
    """A connection that stays open for each worker, by its number, which the ids of its requests tell."""
    wait_until(lambda: len(gateway.events("worker_serving")) == SETTINGS["GATEWAY_WORKERS"])
    numbers = {event["request_ids"]: int(event["worker"]) for event in gateway.events("worker_serving")}
    found: dict[int, RawClient] = {}
    with contextlib.ExitStack() as stack:
        while len(found) < len(numbers):  # who accepts is the kernel's choice; pytest's time-out ends it
            client = stack.enter_context(RawClient(gateway.port))
            _, name = ask(client)
            found.setdefault(numbers[name[: name.index("-") + 1]], client)
        yield found


def all_get(clients: Iterable[RawClient], key: str, status: int) -> bool:
    """Whether that is what the key gets on each connection."""
    return all(ask(client, key)[0] == status for client in clients)


def is_split(host: Host, value: int) -> bool:
    """Whether the metric says so."""
    return host.gateway.metrics()["gateway_limits_split"] == value


def book_is_complete(host: Host, found: Load) -> None:
    """Each answer stands in the ledger, once."""
    try:
        wait_until(lambda: host.booked().keys() >= found.ids())
    except AssertionError:
        missing = len(found.ids() - host.booked().keys())
        told = {name: value for name, value in host.gateway.metrics().items() if "usage" in name}
        raise AssertionError(f"{missing} of {len(found.ids())} are missing: {told}") from None
    assert host.booked() == Counter(found.ids())
    assert host.summed() == len(found.ids())


def test_a_control_process_that_is_killed_under_load_costs_no_request_and_no_record(host: Host) -> None:
    workers = host.gateway.worker_pids()
    with load(host.gateway) as found:
        for times in range(3):
            os.kill(host.control(), signal.SIGKILL)
            host.on_duty(times + 2)
            wait_for_more(found)
    book_is_complete(host, found)
    assert host.gateway.worker_pids() == workers
    assert host.gateway.metrics()["gateway_control_deaths_total"] == 3
    assert host.admin("GET", "/admin/v1/keys").status_code == 200


def test_without_a_control_process_its_paths_say_so_and_models_are_served(host: Host) -> None:
    _, key = host.new_key()
    with RawClient(host.gateway.port) as client:
        wait_until(lambda: ask(client, key)[0] == 200)
    os.kill(host.control(), signal.SIGSTOP)
    os.kill(host.control(), signal.SIGKILL)
    answer = host.admin("GET", "/admin/v1/keys")
    if not controls(host.gateway) or len(host.gateway.events("control_on_duty")) < 2:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "control_plane_unavailable"
        assert answer.headers["retry-after"] == "1"
    with RawClient(host.gateway.port) as client:
        assert ask(client, key)[0] == 200
    host.on_duty(2)
    wait_until(lambda: host.admin("GET", "/admin/v1/keys").status_code == 200)


def test_a_database_that_is_away_keeps_no_request_waiting_and_all_is_booked_afterwards(host: Host) -> None:
    connection = sqlite3.connect(host.data / "gateway.db", isolation_level=None)
    with load(host.gateway) as found:
        wait_until(host.booked)
        connection.execute("BEGIN IMMEDIATE")
        locked, count = time.monotonic(), len(found.answered)
        wait_until(lambda: host.gateway.metrics()['gateway_usage_records_total{fate="spooled"}'] > 0)
        wait_until(lambda: time.monotonic() > locked + OUTAGE_SECS)
        during = len(found.answered) - count
        connection.execute("ROLLBACK")
        connection.close()
    assert during > 100
    book_is_complete(host, found)
    wait_until(lambda: host.gateway.metrics()["gateway_usage_spool_bytes"] == 0)
    assert host.gateway.metrics()['gateway_usage_records_total{fate="lost"}'] == 0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_a_postgresql_server_that_dies_and_comes_back_misses_nothing(
    make_host: MakeHost, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    host = make_host(DATABASE_URL=url)
    _, key = host.new_key()
    with RawClient(host.gateway.port) as client:
        wait_until(lambda: ask(client, key)[0] == 200)

    def booked() -> Counter[str]:
        with psycopg.connect(url) as connection:
            contents = [content for (content,) in connection.execute("SELECT content FROM usage_sheets")]
        return Counter(record.request_id for record in ledger.read(contents))

    before = wait_until(booked)
    with load(host.gateway, key) as found:
        wait_until(lambda: len(booked()) > len(before) + 10)
        postgres.stop()
        stopped = time.monotonic()
        wait_until(lambda: host.gateway.metrics()["gateway_database_up"] == 0)
        wait_until(lambda: time.monotonic() > stopped + OUTAGE_SECS)
        postgres.start()
        wait_until(lambda: host.gateway.metrics()["gateway_database_up"] == 1)
    wait_until(lambda: booked().keys() >= found.ids())
    assert max(booked().values()) == 1
    assert booked() - before == Counter(found.ids())


def test_quotas_go_on_after_the_host_lost_its_memory(host: Host) -> None:
    with RawClient(host.gateway.port) as client:
        for _ in range(10):
            assert ask(client)[0] == 200
    wait_until(lambda: len(host.booked()) == 10)
    host.reboot(ORG_DAILY_REQUEST_LIMIT=14)
    wait_until(lambda: host.gateway.events("quotas_restored"))
    with RawClient(host.gateway.port) as client:
        assert [ask(client)[0] for _ in range(6)] == [200] * 4 + [429] * 2


def test_a_power_failure_under_load_loses_a_second_of_use_at_the_most(host: Host) -> None:
    failed = 0.0
    with contextlib.suppress(AssertionError), load(host.gateway) as found:  # every client is cut off
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 3)
        failed = time.monotonic()
        host.reboot()
    due = {name for at, name in found.answered if at < failed - 1.0}
    assert len(due) > 100
    assert due <= host.booked().keys()


def test_a_reload_hands_the_duty_over_and_books_everything_once(host: Host) -> None:
    before = host.control()
    with load(host.gateway) as found:
        host.gateway.signal(signal.SIGHUP)
        wait_until(lambda: host.gateway.events("reloaded"))
        host.on_duty(2)
        wait_until(lambda: before not in controls(host.gateway))
        wait_for_more(found)
        assert host.admin("GET", "/admin/v1/keys").status_code == 200
    book_is_complete(host, found)
    assert host.gateway.metrics()["gateway_control_deaths_total"] == 0


def test_what_is_booked_last_is_booked_before_the_gateway_ends(host: Host) -> None:
    with load(host.gateway) as found:
        wait_until(lambda: len(found.answered) > 100)
    assert host.gateway.stop() == 0
    assert host.booked() == Counter(found.ids())
    assert not list((host.memory / "control").glob("*.sock"))


def test_a_control_process_ends_with_its_supervisor(host: Host) -> None:
    control = host.control()
    host.gateway.signal(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{control}").exists())
    # It heard of it and wrote down what there was, as the name of its socket shows, which it alone takes away.
    assert control in {event["pid"] for event in host.gateway.events("supervisor_died")}
    assert not list((host.memory / "control").glob("*.sock"))


def test_a_control_process_says_all_the_while_that_its_loop_turns(host: Host) -> None:
    descriptors = Path(f"/proc/{host.control()}/fd")
    pulse = next(link for link in descriptors.iterdir() if "gateway-pulse" in str(link.readlink()))
    (first,) = struct.unpack("d", pulse.read_bytes()[:8])
    wait_until(lambda: struct.unpack("d", pulse.read_bytes()[:8]) != (first,))
    (next_one,) = struct.unpack("d", pulse.read_bytes()[:8])
    assert next_one > first, "each says when it was"


def test_a_revocation_is_seen_by_all_workers_within_a_second_under_load(host: Host) -> None:
    with load(host.gateway), one_client_of_each_worker(host.gateway) as clients:
        assert sorted(clients) == [0, 1, 2, 3]
        for _ in range(5):
            name, key = host.new_key()
            wait_until(partial(all_get, clients.values(), key, 200))
            assert host.admin("POST", f"/admin/v1/keys/{name}/revoke").status_code == 200
            begun = time.monotonic()
            wait_until(partial(all_get, clients.values(), key, 401))
            assert time.monotonic() - begun < 1.0


def test_wrong_admin_keys_are_counted_by_address(make_host: MakeHost) -> None:
    host = make_host(FAILED_AUTH_BURST=3, FAILED_AUTH_PER_SEC=0.001)
    statuses = [host.admin("GET", "/admin/v1/keys", headers={"X-Admin-Key": "wrong"}).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert host.admin("GET", "/admin/v1/keys").status_code == 200


def test_clients_see_their_own_usage_and_cannot_ask_for_anothers(host: Host) -> None:
    _, key = host.new_key()
    with RawClient(host.gateway.port) as client:
        wait_until(lambda: ask(client, key)[0] == 200)
    wait_until(host.booked)
    forged = {"x-gateway-principal": '{"organization": "org:acme"}', "authorization": f"Bearer {KEY}"}
    url = f"{host.gateway.url}/v1/usage"
    assert httpx.get(url, headers=forged, trust_env=False).json()["organization"] == "ip:127.0.0.1"
    own = httpx.get(url, headers={"authorization": f"Bearer {key}"}, trust_env=False).json()
    assert own["organization"] == "org:acme"
    assert sum(line["requests"] for line in own["data"]) == 1
    assert httpx.get(url, trust_env=False).status_code == 401


def test_two_hosts_on_one_database_without_redis_are_flagged(make_host: MakeHost, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    hosts = [make_host(name, DATABASE_URL=url, GATEWAY_WORKERS=1) for name in ("one", "two")]
    for host in hosts:
        wait_until(partial(is_split, host, 1))
        wait_until(host.gateway.well)
        report = host.gateway.report()
        assert (report["status"], report["reason"]) == ("degraded", "limits_split")
        assert len(report["limits_split_with"]) == 1
        wait_until(partial(host.gateway.events, "limits_split"))
    hosts[1].gateway.stop()
    wait_until(partial(is_split, hosts[0], 0), 60)
    assert hosts[0].gateway.report()["status"] == "ok"


def test_a_drain_is_seen_by_the_workers(host: Host) -> None:
    wait_until(host.gateway.well)
    assert host.admin("POST", "/admin/v1/backends/chat0/drain").status_code == 200
    wait_until(lambda: "draining" in host.gateway.states())
    assert host.admin("POST", "/admin/v1/backends/chat0/undrain").status_code == 200
    wait_until(host.gateway.well)


def test_an_idle_gateway_answers_operators_and_clients_all_through_a_reload(host: Host) -> None:
    before = host.control()
    host.gateway.signal(signal.SIGHUP)
    answers = Counter[int]()
    client = httpx.Client(base_url=host.gateway.url, trust_env=False, timeout=30)
    with client:
        while before in controls(host.gateway):
            answers[client.get("/admin/v1/limits", headers={"x-admin-key": ADMIN}).status_code] += 1
            answers[client.get("/v1/usage", headers={"authorization": f"Bearer {KEY}"}).status_code] += 1
    assert host.gateway.events("reloaded")
    assert set(answers) == {200}
    assert len(host.gateway.events("control_serving")) == 2
    assert host.gateway.metrics()["gateway_control_deaths_total"] == 0


def test_keys_that_a_new_database_url_leaves_behind_are_spoken_of(host: Host) -> None:
    host.new_key()
    host.gateway.stop()
    host.start(DATABASE_URL=f"sqlite:///{host.data}/other.db")
    (event,) = wait_until(lambda: host.gateway.events("keys_left_behind"))
    assert (event["file"], event["keys"]) == (str(host.data / "gateway.db"), 1)
    host.gateway.stop()
    host.start(DATABASE_URL="")
    assert host.admin("GET", "/admin/v1/keys").json()["data"]
    assert not host.gateway.events("keys_left_behind")
