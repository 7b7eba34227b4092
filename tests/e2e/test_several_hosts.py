"""Two gateways with one REDIS_URL have one limit; without the server each goes on, and says so."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.store.valkey.store import RESTORE_SECS
from tests.e2e.conftest import Fleet, MakeGateway
from tests.e2e.rush import rush
from tests.store.valkey.server import Server, running
from tests.support.gateway import Gateway, in_threads, wait_until
from tests.support.postgres import postgres_server
from tests.support.wall import Wall

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}
FAST = {"MAX_RPS_PER_IP": 100_000, "RPS_BURST": 100_000}
SHOWN = "gateway_limits_not_shared "
OUTAGES = "gateway_limits_outages_total "


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def figure(gateway: Gateway, name: str) -> float:
    """One of the figures without labels."""
    page = httpx.get(f"http://127.0.0.1:{gateway.metrics_port}/metrics", trust_env=False).text
    return float(next(line for line in page.splitlines() if line.startswith(name)).split()[-1])


def booked(gateway: Gateway) -> float:
    """How many usage records it has written into the ledger."""
    return gateway.metrics().get('gateway_usage_records_total{fate="written"}', 0)


def test_of_forty_requests_at_two_gateways_for_the_last_seven_of_a_day_seven_run(
    chat_fleet: Fleet, make_gateway: MakeGateway, server: Server
) -> None:
    settings = {"REDIS_URL": server.url, "REDIS_TIMEOUT_MS": 1000, "GATEWAY_WORKERS": 2, "ORG_DAILY_REQUEST_LIMIT": 7}
    gateways = [make_gateway(chat_fleet, **settings) for _ in range(2)]
    statuses: list[int] = []

    def ask(number: int) -> None:
        with gateways[number % 2].client() as client:
            statuses.extend(client.post(CHAT, json=BODY).status_code for _ in range(5))

    with in_threads(8, ask) as failures:
        pass
    assert failures == []
    assert sorted(statuses) == [200] * 7 + [429] * 33
    assert chat_fleet.requests() == 7


@pytest.mark.parametrize("days", [-5, 5])
def test_a_gateway_whose_clock_is_days_off_counts_in_the_servers_day_and_says_when_that_ends(
    chat_fleet: Fleet, make_gateway: MakeGateway, server: Server, tmp_path: Path, days: int
) -> None:
    wall = Wall(tmp_path / "wall-clock")
    wall.turn(days * 86_400)
    settings = {"REDIS_URL": server.url, "REDIS_TIMEOUT_MS": 1000, "GATEWAY_WORKERS": 2, "ORG_DAILY_REQUEST_LIMIT": 6}
    right, wrong = make_gateway(chat_fleet, **settings), make_gateway(chat_fleet, **settings, **wall.environment)
    with right.client() as one, wrong.client() as other:
        answers = [client.post(CHAT, json=BODY) for client in (one, other) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 2
        said = {client.post(CHAT, json=BODY).json()["error"]["message"] for client in (one, other)}
    assert len(said) == 1
    assert wrong.events("clocks_apart")
    assert not right.events("clocks_apart")
    assert chat_fleet.requests() == 6


def test_of_a_hundred_requests_at_two_gateways_for_the_tokens_of_seven_seven_run(
    chat_fleet: Fleet, make_gateway: MakeGateway, server: Server
) -> None:
    tokens = len(orjson.dumps(BODY)) // 4 + BODY["max_tokens"]  # what is set aside for each, until it has ended
    settings = {"REDIS_URL": server.url, "REDIS_TIMEOUT_MS": 1000, "GATEWAY_WORKERS": 2, **FAST}
    gateways = [make_gateway(chat_fleet, **settings, ORG_DAILY_TOKEN_LIMIT=7 * tokens) for _ in range(2)]
    answers = rush(gateways, chat_fleet, BODY, fitting=7)
    assert answers == {b"200": 7, b"429": 93}
    assert chat_fleet.requests() == 7


def test_a_flushed_server_opens_no_quota_that_was_used_up(
    chat_fleet: Fleet, make_gateway: MakeGateway, server: Server
) -> None:
    with postgres_server() as postgres:
        settings = {
            "REDIS_URL": server.url,
            "REDIS_TIMEOUT_MS": 1000,
            "DATABASE_URL": postgres.new_database(),
            "KEY_HASH_SECRET": "5f0c6a3e9d21b7845f0c6a3e9d21b784",
            "GATEWAY_WORKERS": 2,
            "ORG_DAILY_REQUEST_LIMIT": 7,
            **FAST,
        }
        gateways = [make_gateway(chat_fleet, **settings) for _ in range(2)]
        with gateways[0].client() as one, gateways[1].client() as other:

            def refused() -> bool:
                return all(client.post(CHAT, json=BODY).status_code == 429 for client in (one, other))

            wait_until(refused)
            wait_until(lambda: sum(map(booked, gateways)) == 7)
            server.ask("FLUSHALL")
            asked_until = time.monotonic() + RESTORE_SECS + 3.0
            wait_until(lambda: not refused() or time.monotonic() > asked_until)
        assert all(gateway.events("quotas_restored") for gateway in gateways)
        assert chat_fleet.requests() == 7


def test_a_server_that_is_gone_stops_nobody_and_is_seen_in_the_figures(
    chat_fleet: Fleet, make_gateway: MakeGateway, server: Server
) -> None:
    gateway = make_gateway(chat_fleet, REDIS_URL=server.url, GATEWAY_WORKERS=1)
    wait_until(lambda: figure(gateway, SHOWN) == 0)
    with gateway.client() as client:
        assert client.post(CHAT, json=BODY).status_code == 200
        server.stop()
        assert client.post(CHAT, json=BODY).status_code == 200
        wait_until(lambda: figure(gateway, SHOWN) >= 1)
        assert figure(gateway, OUTAGES) >= 1
        (worker,) = gateway.worker_pids()  # each process tells for itself, and which one it is
        wait_until(lambda: worker in {event["pid"] for event in gateway.events("limits_not_shared")})
        report = wait_until(lambda: (said := gateway.report())["status"] == "degraded" and said)
        assert (report["reason"], report["limits_shared"]) == ("limits_not_shared", False)
        server.start()
        wait_until(lambda: figure(gateway, SHOWN) == 0)
        report = gateway.report()
        assert (report["status"], report["limits_shared"]) == ("ok", True)
        assert client.post(CHAT, json=BODY).status_code == 200
