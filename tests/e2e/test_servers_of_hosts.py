"""Two gateways have seats and drains in common where they mean the same server, and else each its own."""

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.store.valkey.server import Server, running
from tests.support.gateway import Gateway, RawClient, wait_until
from tests.support.postgres import PostgresServer, postgres_server

PATH = "/v1/chat/completions"
BODY = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
LONG = {**BODY, "max_tokens": 1000, "ignore_eos": True, "stream": True}
ADMIN = "admin-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["on", "off"])
def shared(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(
    chat_fleet: Fleet, make_gateway: MakeGateway, server: Server, postgres: PostgresServer, shared: str
) -> tuple[Gateway, Gateway]:
    settings = {
        "REDIS_URL": server.url,
        "REDIS_TIMEOUT_MS": 1000,
        "DATABASE_URL": postgres.new_database(),
        "KEY_HASH_SECRET": "5f0c6a3e9d21b7845f0c6a3e9d21b784",
        "ADMIN_API_KEY": ADMIN,
        "BACKENDS_SHARED": shared,
        "MAX_INFLIGHT_PER_BACKEND": 1,
        "QUEUE_TIMEOUT_SECS": 0,
        "GATEWAY_WORKERS": 2,
    }
    one, other = (make_gateway(chat_fleet, **settings) for _ in range(2))
    wait_until(lambda: one.well() and other.well())
    wait_until(lambda: one.events("control_serving") and other.events("control_serving"))
    return one, other


def reason(gateway: Gateway, name: str) -> str:
    return next(str(seen["reason"]) for seen in gateway.report()["backends"] if seen["name"] == name)


def status(gateway: Gateway) -> int:
    with gateway.client() as client:
        return client.post(PATH, json=BODY).status_code


def ask_admin(gateway: Gateway, path: str) -> None:
    url = f"{gateway.url}/admin/v1/backends/{path}"
    httpx.post(url, headers={"X-Admin-Key": ADMIN}, timeout=30, trust_env=False).raise_for_status()


def test_what_takes_all_seats_at_one_gateway_takes_those_of_the_same_servers_at_the_other(
    chat_fleet: Fleet, pair: tuple[Gateway, Gateway], shared: str
) -> None:
    one, other = pair
    for replica in chat_fleet.servers.values():
        replica.set_pace(token_ms=20)
    with RawClient(one.port) as first, RawClient(one.port) as second:
        for stream in (first, second):
            stream.post(PATH, LONG)
            stream.until(b'"content":"')
        assert status(one) == 503
        assert status(other) == (503 if shared == "on" else 200)


def test_who_drains_at_one_gateway_drains_the_same_server_at_the_other(
    pair: tuple[Gateway, Gateway], shared: str
) -> None:
    one, other = pair
    ask_admin(one, "chat0/drain")
    wait_until(lambda: reason(one, "chat0") == "drained")
    ask_admin(one, "chat1/drain")
    ask_admin(other, "chat1/drain")  # by which the other has seen all that came before
    wait_until(lambda: reason(one, "chat1") == reason(other, "chat1") == "drained")
    assert (reason(other, "chat0") == "drained") == (shared == "on")
    ask_admin(other, "chat0/undrain")
    ask_admin(other, "chat1/undrain")
    wait_until(lambda: reason(other, "chat1") != "drained")
    if shared == "on":
        wait_until(lambda: "drained" not in {reason(one, "chat0"), reason(one, "chat1")})
    else:
        ask_admin(one, "chat1/undrain")
        wait_until(lambda: reason(one, "chat1") != "drained")
        assert reason(one, "chat0") == "drained"
