"""A client that leaves frees everything at once, in every phase, streamed or not."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}], "max_tokens": 2000}


def rows_of(fleet: Fleet) -> list[dict[str, Any]]:
    return [row for name in ("chat0", "chat1") for row in fleet[name].ledger()]


@pytest.fixture
def new_lines(chat: Gateway) -> Callable[[], list[dict[str, Any]]]:
    """Those of this test: a line follows its request's figure by a moment, and the last one is another test's."""
    wait_until(lambda: len(relayed(chat)) == counted(chat))
    before = len(relayed(chat))
    return lambda: relayed(chat)[before:]


def counted(gateway: Gateway) -> float:
    figures = gateway.metrics().items()
    return sum(figure for name, figure in figures if name.startswith("gateway_requests_total{") and "/v1/c" in name)


def relayed(gateway: Gateway) -> list[dict[str, Any]]:
    return [line for line in gateway.access_lines() if line["method"] == "POST"]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "close"])
def test_leaving_before_the_first_token_aborts_at_the_backend(
    chat: Gateway,
    chat_fleet: Fleet,
    new_lines: Callable[[], list[dict[str, Any]]],
    *,
    streamed: bool,
    reset: bool,
) -> None:
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(ttft_ms=60_000)
    client = RawClient(chat.port).post(PATH, {**BODY, "stream": streamed})
    wait_until(lambda: [row for row in rows_of(chat_fleet) if row["ended"] == "running"])
    client.reset() if reset else client.socket.close()
    rows = wait_until(lambda: [row for row in rows_of(chat_fleet) if row["ended"] == "aborted"])
    (line,) = wait_until(new_lines)
    assert len(rows) == 1
    assert (line["status"], line["outcome"], line["disconnect_phase"]) == (499, "client_gone", "waiting")
    wait_until(chat.idle)


def test_leaving_in_mid_stream_aborts_and_books_what_was_made(
    chat: Gateway, chat_fleet: Fleet, new_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(token_ms=5)
    with RawClient(chat.port) as client:
        client.post(PATH, {**BODY, "stream": True})
        while client.received.count(b"data:") < 10:
            client.received += client.socket.recv(65536)
    (row,) = wait_until(lambda: [row for row in rows_of(chat_fleet) if row["ended"] == "aborted"])
    (line,) = wait_until(new_lines)
    assert (line["status"], line["outcome"], line["disconnect_phase"]) == (200, "client_gone", "answering")
    assert line["prompt_tokens"] == row["prompt_tokens"]
    assert 0 <= row["completion_tokens"] - line["completion_tokens"] <= 20
    wait_until(chat.idle)


def test_leaving_the_queue_frees_the_place_and_reaches_no_backend(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, MAX_INFLIGHT_PER_IP=1, QUEUE_TIMEOUT_SECS=60)
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(ttft_ms=60_000)
    holder = RawClient(gateway.port).post(PATH, BODY)
    wait_until(lambda: rows_of(chat_fleet))
    waiting = RawClient(gateway.port).post(PATH, BODY)
    wait_until(lambda: gateway.metrics().get("gateway_queued_requests"))
    waiting.socket.close()
    (line,) = wait_until(lambda: relayed(gateway))
    assert (line["status"], line["outcome"], line["disconnect_phase"]) == (499, "client_gone", "queued")
    holder.socket.close()
    wait_until(gateway.idle)
    assert len(rows_of(chat_fleet)) == 1


def test_leaving_in_the_middle_of_the_body_holds_nothing(
    chat: Gateway, chat_fleet: Fleet, new_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    with RawClient(chat.port) as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000\r\n"
            b"Authorization: Bearer sk-test-0123456789\r\n\r\n{"
        )
        wait_until(lambda: not client.readable(0.2))
    (line,) = wait_until(new_lines)
    assert (line["status"], line["disconnect_phase"]) == (499, "body")
    assert rows_of(chat_fleet) == []


def test_a_thousand_departures_at_random_moments_leave_nothing_behind(chat: Gateway, chat_fleet: Fleet) -> None:
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_pace(ttft_ms=5, token_ms=2)
    for number in range(1000):
        client = RawClient(chat.port).post(PATH, {**BODY, "stream": bool(number % 2)})
        client.readable((number % 23) / 1000)
        client.reset() if number % 3 else client.socket.close()
    wait_until(chat.idle)
    wait_until(lambda: all(chat_fleet[name].state()["running"] == 0 for name in ("chat0", "chat1")))
    with chat.client() as http:
        for _ in range(20):
            assert http.post(PATH, json={**BODY, "max_tokens": 2}).status_code == 200
