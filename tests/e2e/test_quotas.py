"""Quotas are exact over all workers, survive what happens to processes, and the ledger says what the backends made."""

import os
import random
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, in_threads, wait_until

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}
FAST = {"MAX_RPS_PER_IP": 100_000, "RPS_BURST": 100_000}
LIMIT = 10_000_000
"""Tokens of a day, by default."""

REQUESTS = 320
DISCONNECTS = 5
"""One in so many leaves in the middle of its answer."""
TOKENS = 150
TOLERANCE = 0.005


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[dict[str, object]]:
    """What gateways that follow each other have in common."""
    with tempfile.TemporaryDirectory(prefix="gw-", dir="/dev/shm") as limiter:
        yield {"LIMITER_PATH": limiter, "DATA_PATH": tmp_path / "shared-data"}


def booked(data: Path) -> list[dict[str, Any]]:
    """The usage records in the database, as long as there is one."""
    file = data / "gateway.db"
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'usage_records'").fetchone():
            return []  # the schema is still being made
        return [dict(row) for row in database.execute("SELECT * FROM usage_records")]


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


def ask_for_a_part(gateway: Gateway, body: dict[str, Any], path: str, events: int) -> None:
    """Leave a stream in its middle."""
    with gateway.client() as client, client.stream("POST", path, json={**body, "stream": True}) as answer:
        for seen, _ in enumerate(line for line in answer.iter_lines() if line.startswith("data:")):
            if seen >= events:
                return


def test_the_ledger_agrees_with_the_backends_at_a_fifth_of_disconnects(
    chat_fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=4, DATA_PATH=data, **FAST)
    wait_until(gateway.well)
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(ttft_ms=2, token_ms=2)
    chance = random.Random(71)  # noqa: S311 -- a test's dice
    plan = [(number, chance.randrange(3), chance.randrange(5, 60)) for number in range(REQUESTS)]

    def ask(thread: int) -> None:
        with gateway.client() as client:
            for number, kind, events in plan[thread::16]:
                said = f"number {number} " * chance.randrange(1, 30)
                chat = {"model": "qwen", "messages": [{"role": "user", "content": said}], "max_tokens": TOKENS}
                text = {"model": "qwen", "prompt": said, "max_tokens": TOKENS}
                if number % DISCONNECTS == 0:
                    ask_for_a_part(gateway, text if kind else chat, "/v1/completions" if kind else CHAT, events)
                elif kind == 0:
                    assert client.post(CHAT, json=chat).status_code == 200
                elif kind == 1:
                    assert b"[DONE]" in client.post("/v1/completions", json={**text, "stream": True}).content
                else:
                    streamed = {"model": "qwen", "input": said, "max_output_tokens": TOKENS, "stream": True}
                    assert b"response.completed" in client.post("/v1/responses", json=streamed).content

    with in_threads(16, ask) as failures:
        pass
    assert failures == []
    rows = [row for name in ("chat0", "chat1") for row in chat_fleet[name].settled()]
    made = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)
    assert len(rows) == REQUESTS
    wait_until(lambda: len(booked(data)) == REQUESTS)
    records = booked(data)
    counted = sum(record["prompt_tokens"] + record["completion_tokens"] for record in records)
    assert abs(counted - made) <= TOLERANCE * made, (counted, made)
    assert len({record["request_id"] for record in records}) == REQUESTS
    left = sum(record["outcome"] == "client_gone" for record in records)
    assert left >= 0.9 * REQUESTS / DISCONNECTS  # the others were not noticed before the answer's end
    assert not any(record["estimated"] for record in records)
    with gateway.client() as client:
        used = LIMIT - remaining(client.post(CHAT, json=BODY))
    assert counted <= used <= counted + 200  # this request's own


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
