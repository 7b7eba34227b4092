"""Quotas are exact over all workers, and survive what happens to processes."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from msgspec.structs import asdict

from tests.e2e.conftest import Fleet, MakeGateway
from tests.e2e.rush import rush
from tests.support import ledger
from tests.support.gateway import RawClient, in_threads, wait_until

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}
FAST = {"MAX_RPS_PER_IP": 100_000, "RPS_BURST": 100_000}
LIMIT = 10_000_000
"""Tokens of a day, by default."""


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[dict[str, object]]:
    """What gateways that follow each other have in common."""
    with tempfile.TemporaryDirectory(prefix="gw-", dir="/dev/shm") as limiter:
        yield {"LIMITER_PATH": limiter, "DATA_PATH": tmp_path / "shared-data"}


def booked(data: Path) -> list[dict[str, Any]]:
    """The usage records in the database, as long as there is one."""
    return [asdict(record) for record in ledger.booked(data / "gateway.db")]


def remaining(answer: httpx.Response) -> int:
    return int(answer.headers["x-ratelimit-remaining-tokens"])


def test_a_used_up_quota_says_when_it_renews_and_that_no_retry_helps(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, ORG_DAILY_TOKEN_LIMIT=100, QUOTA_TIMEZONE="Europe/Berlin")
    with gateway.client() as client:
        answers = [client.post(CHAT, json=BODY) for _ in range(6)]
    used = sum(answer.json()["usage"]["total_tokens"] for answer in answers if answer.status_code == 200)
    assert 0 < used <= 140  # the last one to run may take more than was thought
    refused = answers[-1]
    assert (answers[0].status_code, refused.status_code) == (200, 429)
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
    assert "100 tokens per day" in error["message"]
    assert "renews at 20" in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert refused.headers["x-ratelimit-limit-tokens"] == "100"
    assert chat_fleet.requests() == sum(answer.status_code == 200 for answer in answers)


def test_of_forty_requests_for_the_last_seven_of_a_day_seven_run(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=4, ORG_DAILY_REQUEST_LIMIT=7)
    statuses: list[int] = []

    def ask(_: int) -> None:
        with gateway.client() as client:
            statuses.extend(client.post(CHAT, json=BODY).status_code for _ in range(5))

    with in_threads(8, ask) as failures:
        pass
    assert failures == []
    assert sorted(statuses) == [200] * 7 + [429] * 33
    assert chat_fleet.requests() == 7


def test_of_a_hundred_requests_for_the_tokens_of_seven_seven_run(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    tokens = len(orjson.dumps(BODY)) // 4 + BODY["max_tokens"]  # what is set aside for each, until it has ended
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=4, ORG_DAILY_TOKEN_LIMIT=7 * tokens, **FAST)
    wait_until(gateway.well)
    answers = rush([gateway], chat_fleet, BODY, fitting=7)
    assert answers == {b"200": 7, b"429": 93}
    assert chat_fleet.requests() == 7


def test_answers_say_what_is_left_and_what_did_not_run_costs_nothing(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet)
    with gateway.client() as client:
        first = client.post(CHAT, json=BODY)
        wrong = client.post(CHAT, json={**BODY, "model": "nobody's"})
        chat_fleet["chat0"].set_fault("refuse", path=CHAT)
        client.post(CHAT, json={**BODY, "max_tokens": 1000})
        # What has ended is settled within 0.1 s.
        wait_until(lambda: remaining(first) - remaining(client.post(CHAT, json=BODY)) < 1000)
    assert first.headers["x-ratelimit-limit-tokens"] == str(LIMIT)
    assert first.headers["x-ratelimit-reset-tokens"].endswith("s")
    assert wrong.status_code == 404
    assert "x-ratelimit-remaining-tokens" not in wrong.headers


def test_quotas_outlive_a_restart(chat_fleet: Fleet, make_gateway: MakeGateway, shared: dict[str, object]) -> None:
    first = make_gateway(chat_fleet, **shared)
    with first.client() as client:
        for _ in range(5):
            client.post(CHAT, json=BODY)
        before = remaining(client.post(CHAT, json=BODY))
    assert first.stop() == 0
    second = make_gateway(chat_fleet, **shared)
    with second.client() as client:
        after = remaining(client.post(CHAT, json=BODY))
    assert LIMIT - after > LIMIT - before - 50
    assert after < before + 50


def test_quotas_are_restored_from_the_ledger_where_the_hosts_memory_is_gone(
    chat_fleet: Fleet, make_gateway: MakeGateway, shared: dict[str, object], tmp_path: Path
) -> None:
    first = make_gateway(chat_fleet, **shared)
    with first.client() as client:
        used = sum(client.post(CHAT, json=BODY).json()["usage"]["total_tokens"] for _ in range(5))
    assert first.stop() == 0
    del tmp_path
    with tempfile.TemporaryDirectory(prefix="gw-", dir="/dev/shm") as limiter:
        second = make_gateway(chat_fleet, **{**shared, "LIMITER_PATH": limiter})

        def restored() -> bool:
            with second.client() as client:
                client.post(CHAT, json=BODY)
                return bool(LIMIT - remaining(client.post(CHAT, json=BODY)) >= 6 * used // 5)

        wait_until(restored)
        second.stop()


def test_what_a_killed_worker_ran_is_booked_and_the_rest_refunded(
    chat_fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    gateway = make_gateway(chat_fleet, DATA_PATH=data)
    wait_until(gateway.well)
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(ttft_ms=60_000)
    running = [RawClient(gateway.port).post(CHAT, {**BODY, "max_tokens": 5000}) for _ in range(6)]
    wait_until(lambda: chat_fleet.requests() == 6)
    (worker,) = gateway.worker_pids()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(booked(data)) == 6)
    for client in running:
        client.socket.close()
    records = booked(data)
    assert {record["outcome"] for record in records} == {"worker_died"}
    assert all(
        record["estimated"] and record["prompt_tokens"] and not record["completion_tokens"] for record in records
    )
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(ttft_ms=0)
    wait_until(gateway.well)
    with gateway.client() as asking:
        left = remaining(asking.post(CHAT, json=BODY))
    assert LIMIT - left <= sum(record["prompt_tokens"] for record in records) + 200
