"""API keys at a real gateway: what is published in one process holds at every worker from the next request on."""

import fcntl
import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from gateway.auth.api_key import digest, mint, prefix_of
from gateway.auth.key_secret import find_or_make
from gateway.bookkeeping import duty
from gateway.catalog.head import FOLDER
from gateway.catalog.publisher import Publisher
from gateway.catalog.records import KeyEntry
from gateway.core.clock import SystemClock
from gateway.core.principal import Principal
from gateway.server.channel import CONTROL_FOLDER
from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import KEY, Gateway, RawClient, in_threads, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
SECRET = "5f0c6a3e9d21b7845f0c6a3e9d21b784"
WORKERS = 4
SETTINGS: dict[str, object] = {
    "KEY_HASH_SECRET": SECRET,
    "MAX_RPS_PER_IP": 10_000,
    "RPS_BURST": 10_000,
    "FAILED_AUTH_BURST": 100_000,
}


class Control:
    """What a control process does for the workers: it publishes, and says that the database answers."""

    def __init__(self, host: Path, secret: str = SECRET) -> None:
        self._secret = secret.encode()
        self.publisher = Publisher(host / FOLDER, SystemClock())
        assert self.publisher.open()
        self.publisher.replace_all(keys=[], organizations={}, models=b"")
        self.publisher.beat()

    def add(self, **known: Any) -> str:
        """A new key in force."""
        key = mint()
        principal = Principal(**{"organization": "org:acme", "key_id": "key1", "key_prefix": prefix_of(key), **known})
        self.publisher.publish(keys=[KeyEntry(self.digest_of(key), principal)])
        self.publisher.beat()
        return key

    def digest_of(self, key: str) -> bytes:
        """What stands for it in the catalog."""
        return digest(key.encode(), self._secret)

    def beat(self) -> bool:
        """The database answers; said in one breath with what is asked then."""
        self.publisher.beat()
        return True

    def revoke(self, key: str) -> None:
        """It is no key any more."""
        self.publisher.publish(removed=[self.digest_of(key)])
        self.publisher.beat()


@pytest.fixture
def host() -> Iterator[Path]:
    """The memory of a host on which the test is on duty: its control processes wait for their turn, which never comes.

    It outlives the gateways where it is asked for before what makes them.
    """
    with tempfile.TemporaryDirectory(prefix="gw-", dir="/dev/shm") as memory:
        folder = Path(memory) / CONTROL_FOLDER
        folder.mkdir(mode=0o700)
        with (folder / duty.FILE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(memory)


@pytest.fixture
def gateway(host: Path, chat_fleet: Fleet, make_gateway: MakeGateway) -> Iterator[Gateway]:
    made = make_gateway(chat_fleet, **SETTINGS, LIMITER_PATH=host, GATEWAY_WORKERS=WORKERS, KEYS_FRESH_SECS=3600)
    yield made
    assert made.events("control_on_duty") == []


@pytest.fixture
def control(gateway: Gateway, host: Path) -> Iterator[Control]:
    del gateway
    made = Control(host)
    yield made
    made.publisher.close()


def ask(client: RawClient, key: str) -> int:
    """The status of one answer on a connection that stays open."""
    client.received = b""
    client.post(PATH, BODY, key=key)
    client.until(b"\r\n\r\n")
    head, _, body = client.received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        client.received += client.socket.recv(65536)
        body = client.received.partition(b"\r\n\r\n")[2]
    return int(head.split(b" ")[1])


def one_of_each(gateway: Gateway) -> dict[int, RawClient]:
    """A connection to each worker."""
    found: dict[int, RawClient] = {}

    def another() -> bool:
        client = RawClient(gateway.port)
        ask(client, "sk-nobody")  # whoever has accepted it has answered
        pid = holder(gateway, client)
        if pid in found:
            client.socket.close()
        found.setdefault(pid, client)
        return len(found) == WORKERS

    wait_until(another)
    return found


def holder(gateway: Gateway, client: RawClient) -> int:
    """The worker that has this connection."""
    inode = inode_of(gateway.port, client.socket.getsockname()[1])
    for pid in gateway.worker_pids():
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if os.readlink(descriptor) == f"socket:[{inode}]":  # noqa: PTH115 -- procfs
                    return pid
            except FileNotFoundError:
                continue
    raise AssertionError("no worker holds the connection")


def inode_of(local: int, remote: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [int(end.split(":")[1], 16) for end in fields[1:3]] == [local, remote]:
            return fields[9]
    raise AssertionError("no such connection")


def test_a_revocation_holds_at_every_worker_from_the_next_request_on_under_load(
    gateway: Gateway, control: Control
) -> None:
    busy = control.add(key_id="busy", organization="")
    clients = one_of_each(gateway)
    stop = threading.Event()
    served = itertools.count()

    def load(_: int) -> None:
        with RawClient(gateway.port) as client:
            while not stop.is_set():
                assert ask(client, busy) == 200
                next(served)

    with in_threads(8, load) as failures:
        try:
            for _ in range(10):
                key = control.add(organization="")
                assert [ask(client, key) for client in clients.values()] == [200] * WORKERS
                control.revoke(key)
                assert [ask(client, key) for client in clients.values()] == [401] * WORKERS
        finally:
            stop.set()
    assert not failures, failures
    assert next(served) > 50
    for client in clients.values():
        client.socket.close()


def test_what_a_key_allows_is_listed_and_may_be_used_and_nothing_else(
    host: Path, whole_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(whole_fleet, **SETTINGS, LIMITER_PATH=host, KEYS_FRESH_SECS=3600)
    control = Control(host)
    key = control.add(models=frozenset({"text2sql"}))
    with openai.OpenAI(api_key=key, base_url=f"{gateway.url}/v1", max_retries=3) as client:
        listed = {model.id for model in client.models.list()}
        assert listed == {"text2sql", "Snowflake/Arctic-Text2SQL-R1-7B"}
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("qwen")
        for name in listed:
            client.chat.completions.create(model=name, messages=BODY["messages"], max_tokens=2)
        with pytest.raises(openai.PermissionDeniedError, match="may not use the model `qwen`") as refusal:
            client.chat.completions.create(model="qwen", messages=BODY["messages"])
    assert refusal.value.code == "model_not_allowed"
    assert not any(whole_fleet[name].ledger() for name in ("chat0", "chat1"))
    line = gateway.access_line(refusal.value.response.headers["x-request-id"])
    assert (line["status"], line["outcome"]) == (403, "model_not_allowed")
    control.publisher.close()


def test_anthropics_header_takes_an_api_key(gateway: Gateway, control: Control) -> None:
    key = control.add()
    answer = httpx.post(f"{gateway.url}/v1/messages", headers={"x-api-key": key}, json=BODY, trust_env=False)
    assert answer.status_code == 200
    control.revoke(key)
    answer = httpx.post(f"{gateway.url}/v1/messages", headers={"x-api-key": key}, json=BODY, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")


def test_an_api_key_is_503_until_somebody_has_published_and_the_gateways_own_works(
    gateway: Gateway, host: Path
) -> None:
    with RawClient(gateway.port) as client:
        assert ask(client, mint()) == 503
        assert ask(client, "gw-malformed") == 401
        assert ask(client, KEY) == 200
        control = Control(host)
        assert ask(client, control.add()) == 200
        assert ask(client, mint()) == 401
        control.publisher.close()


def test_a_silent_database_ends_no_known_key_until_it_was_silent_for_long(
    host: Path, chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, **SETTINGS, LIMITER_PATH=host, KEYS_FRESH_SECS=0.5, KEYS_MAX_AGE_SECS=4)
    control = Control(host)
    key = control.add(organization="")
    with RawClient(gateway.port) as client:
        assert ask(client, key) == 200
        begun = time.monotonic()
        wait_until(lambda: ask(client, mint()) == 503)
        if time.monotonic() < begun + 3:
            assert ask(client, key) == 200
        wait_until(lambda: ask(client, key) == 503)
        assert ask(client, KEY) == 200
        wait_until(lambda: control.beat() and ask(client, key) == 200)
        wait_until(lambda: control.beat() and ask(client, mint()) == 401)
    control.publisher.close()


def test_workers_of_all_generations_hash_with_the_secret_that_the_first_start_made(
    host: Path, chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    settings = {**SETTINGS, "KEY_HASH_SECRET": "", "LIMITER_PATH": host}
    gateway = make_gateway(chat_fleet, **settings, KEYS_FRESH_SECS=3600)
    control = Control(host, find_or_make(gateway.folder / "data"))
    key = control.add(organization="")
    with RawClient(gateway.port) as client:
        assert ask(client, key) == 200
        before = gateway.worker_pids()
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: gateway.events("reloaded"))
    wait_until(lambda: not set(before) & set(gateway.worker_pids()))
    with RawClient(gateway.port) as client:
        assert ask(client, key) == 200
    assert gateway.events("api_keys_unavailable") == []
    control.publisher.close()


def test_without_a_place_for_the_secret_the_gateways_own_key_works_and_others_are_503(
    chat_fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    gateway = make_gateway(chat_fleet, **{**SETTINGS, "KEY_HASH_SECRET": ""}, DATA_PATH=tmp_path / "file" / "data")
    with RawClient(gateway.port) as client:
        assert [ask(client, key) for key in (KEY, mint(), "gw-malformed")] == [200, 503, 401]
    told = wait_until(lambda: gateway.events("api_keys_unavailable"))[0]  # by the control process, which begins last
    assert "set KEY_HASH_SECRET" in told["why"]


def test_no_key_stands_in_a_log_a_metric_or_an_answer(gateway: Gateway, control: Control) -> None:
    canaries = [control.add(models=frozenset({"text2sql"})), control.add(), mint()]
    control.revoke(canaries[1])
    answers = b""
    for key in canaries:
        for path in (PATH, "/v1/models", "/v1/models/qwen", "/nope"):
            with RawClient(gateway.port) as client:
                answers += client.post(path, BODY, key=key, headers=f"x-api-key: {key}\r\nConnection: close\r\n").rest()
    wait_until(lambda: len(gateway.access_lines()) >= 12)
    said = answers.decode(errors="replace") + gateway.log_text() + repr(gateway.metrics())
    assert "model_not_allowed" in said
    for key in canaries:
        assert key[12:] not in said
        assert control.digest_of(key).hex() not in said
    assert SECRET not in said
