"""A client that closes its half of the connection has left, as far as anybody can tell: in every phase it frees all."""

import socket
from typing import Any

import pytest

from tests.e2e.conftest import Fleet
from tests.support.gateway import KEY, Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}], "max_tokens": 3000}
BOTH = ("chat0", "chat1")


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_half_a_departure_before_the_first_token_is_a_whole_one(
    chat: Gateway, chat_fleet: Fleet, *, streamed: bool
) -> None:
    for name in BOTH:
        chat_fleet[name].set_pace(ttft_ms=60_000)
    with RawClient(chat.port) as client:
        client.post(PATH, {**BODY, "stream": streamed})
        (row,) = wait_until(lambda: rows(chat_fleet, "running"))
        client.socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: rows(chat_fleet, "aborted"))
        line = chat.access_line(str(row["request_id"]))
        assert (line["status"], line["outcome"], line["disconnect_phase"]) == (499, "client_gone", "waiting")
        assert client.rest() == b""
    assert chat_fleet.requests() == 1
    wait_until(chat.idle)


def test_half_a_departure_in_mid_stream_is_a_whole_one_and_ends_without_an_end(
    chat: Gateway, chat_fleet: Fleet
) -> None:
    for name in BOTH:
        chat_fleet[name].set_pace(token_ms=5)
    with RawClient(chat.port) as client:
        client.post(PATH, {**BODY, "stream": True}).until(b'"content":"')
        client.socket.shutdown(socket.SHUT_WR)
        (row,) = wait_until(lambda: rows(chat_fleet, "aborted"))
        said = client.rest()
    assert b"[DONE]" not in said
    assert not said.endswith(b"0\r\n\r\n")
    line = chat.access_line(str(row["request_id"]))
    assert (line["outcome"], line["disconnect_phase"]) == ("client_gone", "answering")
    assert 0 <= row["completion_tokens"] - line["completion_tokens"] <= 20
    wait_until(chat.idle)


def test_half_a_departure_in_the_body_reaches_no_backend(chat: Gateway, chat_fleet: Fleet) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"
    with RawClient(chat.port) as client:
        client.send(head.encode())
        client.socket.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in client.rest()
    wait_until(chat.idle)
    assert chat_fleet.requests() == 0


def rows(fleet: Fleet, state: str) -> list[dict[str, Any]]:
    return [row for name in BOTH for row in fleet[name].ledger() if row["ended"] == state]
