"""A key with three slots, at a real gateway of four workers: three of its requests run, however the others end."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, wait_until

ADMIN = "admin-0123456789abcdef"
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
SLOTS = 3
CLIENTS = 12


@pytest.fixture
def gateway(chat_fleet: Fleet, make_gateway: MakeGateway) -> Gateway:
    return make_gateway(
        chat_fleet,
        ADMIN_API_KEY=ADMIN,
        GATEWAY_WORKERS=4,
        MAX_RPS_PER_IP=10_000,
        RPS_BURST=10_000,
        QUEUE_TIMEOUT_SECS=60,
        MAX_QUEUED_PER_IP=CLIENTS - SLOTS,
    )


@pytest.fixture
def key(gateway: Gateway) -> str:
    """A key of org:acme with its own slots, in force at every worker."""
    asked = {"organization": "org:acme", "concurrency": SLOTS}

    def make() -> httpx.Response | None:
        answer = httpx.post(
            f"{gateway.url}/admin/v1/keys", json=asked, headers={"X-Admin-Key": ADMIN}, timeout=30, trust_env=False
        )
        return answer if answer.status_code == 201 else None  # 503: the control process does not answer yet

    made: str = wait_until(make).json()["key"]
    bearer = {"authorization": f"Bearer {made}"}
    wait_until(lambda: httpx.get(f"{gateway.url}/v1/models", headers=bearer, trust_env=False).status_code == 200)
    return made


@pytest.fixture
def clients(gateway: Gateway, chat_fleet: Fleet, key: str) -> Iterator[list[RawClient]]:
    """Twelve at once, before backends that do not answer yet: as many as the key has slots and places."""
    with ExitStack() as stack:
        yield full(stack, gateway, chat_fleet, key)


def full(stack: ExitStack, gateway: Gateway, fleet: Fleet, key: str) -> list[RawClient]:
    """See `clients`, which leave with the stack."""
    for server in fleet.servers.values():
        server.stop_engine()
    made = [stack.enter_context(RawClient(gateway.port)) for _ in range(CLIENTS)]
    for client in made:
        client.post(CHAT, BODY, key=key, headers="Connection: close\r\n")
    wait_until(lambda: gateway.metrics().get("gateway_queued_requests") == CLIENTS - SLOTS)
    return made


def running(fleet: Fleet) -> list[str]:
    """Ids of the requests that the backends have and have not ended."""
    rows = [row for server in fleet.servers.values() for row in server.ledger()]
    return [row["request_id"] for row in rows if row["ended"] == "running"]


def answered(clients: list[RawClient]) -> Counter[bytes]:
    """Their statuses, once all have been answered."""
    return Counter(client.rest()[9:12] for client in clients)


def test_three_run_nine_wait_and_the_next_one_is_refused(
    gateway: Gateway, chat_fleet: Fleet, key: str, clients: list[RawClient]
) -> None:
    wait_until(lambda: len(running(chat_fleet)) == SLOTS)
    with RawClient(gateway.port) as late:
        refused = late.post(CHAT, BODY, key=key, headers="Connection: close\r\n").rest()
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"3 requests are running and 9 are waiting" in refused
    assert chat_fleet.requests() == SLOTS
    with RawClient(gateway.port) as other:  # the gateway's own key is no part of it
        other.post(CHAT, BODY)
        wait_until(lambda: len(running(chat_fleet)) == SLOTS + 1)
    chat_fleet.clear()
    assert answered(clients) == {b"200": CLIENTS}
    wait_until(gateway.idle)


def test_who_leaves_makes_room_for_as_many(gateway: Gateway, chat_fleet: Fleet, clients: list[RawClient]) -> None:
    wait_until(lambda: len(running(chat_fleet)) == SLOTS)
    for client in clients[:6]:
        client.reset()
    wait_until(lambda: gateway.metrics()["gateway_in_flight_requests"] == SLOTS)
    wait_until(lambda: len(running(chat_fleet)) == SLOTS)
    wait_until(lambda: gateway.metrics()["gateway_queued_requests"] == CLIENTS - 6 - SLOTS)
    assert chat_fleet.requests() <= SLOTS + 6
    for server in chat_fleet.servers.values():
        server.resume_engine()
    assert answered(clients[6:]) == {b"200": CLIENTS - 6}
    wait_until(gateway.idle)


def test_slots_of_a_killed_worker_are_had_again_and_no_more_than_three_run(
    gateway: Gateway, chat_fleet: Fleet, key: str, clients: list[RawClient]
) -> None:
    wait_until(lambda: len(running(chat_fleet)) == SLOTS)
    for pid in gateway.worker_pids():
        os.kill(pid, signal.SIGKILL)
    for client in clients:
        client.rest()
    wait_until(lambda: not running(chat_fleet))
    chat_fleet.clear()
    with ExitStack() as stack:
        again = full(stack, gateway, chat_fleet, key)
        wait_until(lambda: len(running(chat_fleet)) == SLOTS)
        assert chat_fleet.requests() == SLOTS  # nothing ends: who runs can be counted at two backends
        for server in chat_fleet.servers.values():
            server.resume_engine()
        assert answered(again) == {b"200": CLIENTS}
    wait_until(gateway.idle)
