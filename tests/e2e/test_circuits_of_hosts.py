"""Two gateways with one REDIS_URL have one circuit for each backend, one trial, and one word on engines that hang."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.store.valkey.server import Server, running
from tests.support.gateway import Gateway, RawClient, wait_until

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
PAUSE_SECS = 2.0


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def pair(chat_fleet: Fleet, make_gateway: MakeGateway, server: Server) -> tuple[Gateway, Gateway]:
    settings = {
        "REDIS_URL": server.url,
        "BACKENDS_SHARED": "on",  # the servers are at a loopback address
        "CIRCUIT_RECOVERY_TIMEOUT": PAUSE_SECS,
        "CIRCUIT_FAILURE_THRESHOLD": 3,
        "GATEWAY_WORKERS": 2,
        "MAX_RPS_PER_IP": 10_000,
        "RPS_BURST": 10_000,
    }
    one, other = (make_gateway(chat_fleet, **settings) for _ in range(2))
    wait_until(lambda: one.well() and other.well())
    return one, other


def circuit(gateway: Gateway, name: str = "chat0") -> str:
    return next(str(backend["circuit"]) for backend in gateway.report()["backends"] if backend["name"] == name)


def state(gateway: Gateway, name: str) -> tuple[str, str]:
    """What its prober makes of a backend, and why."""
    seen = next(backend for backend in gateway.report()["backends"] if backend["name"] == name)
    return seen["state"], seen["reason"]


def ask(gateway: Gateway, times: int) -> None:
    with gateway.client() as client:
        for _ in range(times):
            client.post(CHAT, json=BODY)


def seen_by(fleet: Fleet) -> int:
    """How many requests have reached the backend that fails."""
    return len(fleet["chat0"].ledger())


def break_and_open(fleet: Fleet, one: Gateway) -> None:
    fleet["chat0"].set_fault("status", path=CHAT, status=500)
    while circuit(one) == "closed":
        ask(one, 2)


def test_a_circuit_that_opens_at_one_gateway_opens_at_the_other_and_closes_with_its_trial(
    chat_fleet: Fleet, pair: tuple[Gateway, Gateway]
) -> None:
    one, other = pair
    break_and_open(chat_fleet, one)
    wait_until(lambda: circuit(other) != "closed")
    [opened] = wait_until(lambda: other.events("circuit_changed"))
    assert opened["elsewhere"]
    chat_fleet.clear()

    def closed() -> bool:
        ask(other, 1)  # one never asks: what it knows is what the other has found
        return circuit(one) == circuit(other) == "closed"

    wait_until(closed)
    closed_here = wait_until(lambda: [e for e in one.events("circuit_changed") if e["after"] == "closed"])
    assert closed_here[-1]["elsewhere"]


def test_of_all_requests_at_both_gateways_one_is_the_trial(chat_fleet: Fleet, pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    break_and_open(chat_fleet, one)
    wait_until(lambda: circuit(other) != "closed")
    before = seen_by(chat_fleet)
    wait_until(lambda: circuit(one) == circuit(other) == "half_open")

    def tried() -> bool:
        for gateway in pair:
            ask(gateway, 4)
        return seen_by(chat_fleet) > before

    wait_until(tried)
    wait_until(lambda: circuit(one) == circuit(other) == "open")
    for gateway in pair:
        ask(gateway, 4)
    assert seen_by(chat_fleet) == before + 1
    opened = [[e for e in gateway.events("circuit_changed") if e["reason"] == "trial_failed"] for gateway in pair]
    assert sum(map(len, opened)) == 1  # open for longer is no news at the other one


def test_without_the_server_each_gateway_has_a_circuit_of_its_own(
    chat_fleet: Fleet, pair: tuple[Gateway, Gateway], server: Server
) -> None:
    one, other = pair
    server.stop()
    wait_until(lambda: other.events("circuits_not_shared"))
    break_and_open(chat_fleet, one)
    assert circuit(other) == "closed"
    server.start()
    wait_until(lambda: circuit(other) != "closed")


def test_an_engine_that_one_gateway_sees_hang_gets_nothing_from_the_other_until_it_goes_on(
    chat_fleet: Fleet, make_gateway: MakeGateway, server: Server
) -> None:
    settings = {
        "REDIS_URL": server.url,
        "BACKENDS_SHARED": "on",
        "BACKEND_PROBE_INTERVAL_SECS": 0.25,
        "BACKEND_UP_AFTER": 1,
        "MAX_RPS_PER_IP": 10_000,
        "RPS_BURST": 10_000,
    }
    one = make_gateway(chat_fleet, **settings, BACKEND_STALL_SECS=1)
    other = make_gateway(chat_fleet, **settings, BACKEND_STALL_SECS=3600)  # it would not see it in time by itself
    wait_until(lambda: one.well() and other.well())
    for replica in chat_fleet.servers.values():
        replica.set_pace(token_ms=20)
    with RawClient(one.port) as client:
        client.post(CHAT, {**BODY, "max_tokens": 100, "ignore_eos": True, "stream": True})
        client.until(b'"content":"')
        name, hanging = next((name, replica) for name, replica in chat_fleet.servers.items() if replica.ledger())
        hanging.stop_engine()
        wait_until(lambda: state(one, name) == state(other, name) == ("down", "stalled"))
        ask(other, 6)
        assert len(hanging.ledger()) == 1
        hanging.resume_engine()
        wait_until(lambda: state(one, name) == state(other, name) == ("healthy", "ok"))
        client.until(b"[DONE]")

    def asked_again() -> bool:
        ask(other, 2)
        return len(hanging.ledger()) > 1

    wait_until(asked_again)
