"""A stream reaches its client as it comes, under the name that was asked for, with what was asked for and no more."""

import time
from typing import Any

import orjson
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import KEY, Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {
    "model": "qwen",
    "messages": [{"role": "user", "content": "count"}],
    "max_tokens": 12,
    "stream": True,
}
BOTH = ("chat0", "chat1")


def events_of(gateway: Gateway, body: dict[str, Any], path: str = PATH) -> list[dict[str, Any]]:
    with gateway.client() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    if path == PATH:
        assert data.pop() == "[DONE]"
    return [orjson.loads(event) for event in data]


def test_no_chunk_waits_for_the_next(chat: Gateway, chat_fleet: Fleet) -> None:
    for name in BOTH:
        chat_fleet[name].set_pace(token_ms=10_000)
    with RawClient(chat.port) as client:
        client.post(PATH, BODY)
        # The second event is a token; the third would come ten seconds later.
        while client.received.count(b"data: ") < 2:
            assert client.readable(5)
            client.received += client.socket.recv(65536)


@pytest.mark.parametrize("asked", ["close", "keep-alive"])
@pytest.mark.parametrize("stream", [False, True])
def test_http_1_0_gets_its_answer_without_chunks_and_its_end_with_the_connections(
    chat: Gateway,
    *,
    stream: bool,
    asked: str,
) -> None:
    data = orjson.dumps({**BODY, "stream": stream})
    head = f"POST {PATH} HTTP/1.0\r\nConnection: {asked}\r\nAuthorization: Bearer {KEY}\r\n"
    with RawClient(chat.port) as client:
        client.send(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        fields, _, body = client.rest().partition(b"\r\n\r\n")
    assert fields.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close" in fields
    assert b"transfer-encoding" not in fields
    if stream:
        assert body.startswith(b"data: {")
        assert body.endswith(b"data: [DONE]\n\n")
    else:
        assert b"\r\ncontent-length: %d" % len(body) in fields
        assert orjson.loads(body)["object"] == "chat.completion"


def test_what_the_client_did_not_ask_for_is_taken_out(chat: Gateway) -> None:
    assert all("usage" not in event for event in events_of(chat, BODY))


def test_usage_that_was_asked_for_stays_at_the_end_alone(chat: Gateway) -> None:
    events = events_of(chat, {**BODY, "stream_options": {"include_usage": True}})
    assert [("usage" in event and event["usage"] is not None) for event in events] == [False] * (len(events) - 1) + [
        True
    ]
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 12


def test_continuous_usage_that_was_asked_for_stays_on_every_event(chat: Gateway) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    assert all(event["usage"] for event in events_of(chat, {**BODY, "stream_options": options}))


@pytest.mark.parametrize("name", ["qwen", "Qwen/Qwen2.5-7B-Instruct"])
def test_every_event_carries_the_name_that_was_asked_for(chat: Gateway, name: str) -> None:
    assert {event["model"] for event in events_of(chat, {**BODY, "model": name})} == {name}


def test_a_name_inside_the_text_is_left_alone(chat: Gateway, chat_fleet: Fleet) -> None:
    text = '"model":"qwen" and data: [DONE]'
    body = {**BODY, "model": "Qwen/Qwen2.5-7B-Instruct", "messages": [{"role": "user", "content": text}]}
    events_of(chat, body)
    (row,) = [row for name in BOTH for row in chat_fleet[name].ledger()]
    assert orjson.loads(row["body"])["messages"][0]["content"] == text


def test_tokens_are_booked_though_nobody_asked_for_usage(chat: Gateway) -> None:
    with chat.client() as client:
        answer = client.post(PATH, json=BODY)
    assert chat.access_line(answer.headers["x-request-id"])["completion_tokens"] == 12


def test_pings_are_sent_while_the_first_token_is_awaited(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, STREAM_PING_SECS=0.1)
    for name in BOTH:
        chat_fleet[name].set_pace(ttft_ms=600)
    with RawClient(gateway.port) as client:
        received = client.post(PATH, BODY, headers="Connection: close\r\n").rest()
    first = received.index(b"data: ")
    assert received[:first].count(b": ping\n\n") >= 2
    assert received[first:].count(b": ping") == 0
    assert b"data: [DONE]" in received


def test_a_failure_after_a_ping_is_told_inside_the_stream(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, STREAM_PING_SECS=0.1, FIRST_TOKEN_TIMEOUT_SECS=0.5)
    for name in BOTH:
        chat_fleet[name].set_fault("hang")
    with RawClient(gateway.port) as client:
        received = client.post(PATH, BODY).rest()
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b'"code":"first_token_timeout"' in received
    assert b"[DONE]" not in received


def test_a_slow_reader_slows_the_backend_down_and_is_cut_by_its_own_cap(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, CLIENT_WRITE_TIMEOUT_SECS=1.5, STREAM_IDLE_TIMEOUT_SECS=0.5)
    body = {**BODY, "max_tokens": 8000, "ignore_eos": True}
    (pid,) = gateway.worker_pids()
    before = resident_kib(pid)
    with RawClient(gateway.port, receive_buffer=4096) as client:
        client.post(PATH, body)
        lines = wait_until(lambda: [x for x in gateway.access_lines() if x["method"] == "POST"])
    assert (lines[0]["outcome"], lines[0]["disconnect_phase"]) == ("slow_client", None)
    # The answer is 2 MB; what is held for a reader are bounded buffers.
    assert resident_kib(pid) - before < 1500
    wait_until(gateway.idle)


def test_a_client_that_takes_nothing_of_a_slow_stream_is_a_slow_one_and_did_not_leave(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    """What comes so slowly does not fill our buffer before the cap is over, and no answer ever waits for the client."""
    gateway = make_gateway(chat_fleet, CLIENT_WRITE_TIMEOUT_SECS=1)
    for name in BOTH:
        chat_fleet[name].set_pace(token_ms=8)
    with RawClient(gateway.port, receive_buffer=4096) as client:
        client.post(PATH, {**BODY, "max_tokens": 8000, "ignore_eos": True})
        (line,) = wait_until(lambda: [x for x in gateway.access_lines() if x["method"] == "POST"])
    assert (line["outcome"], line["disconnect_phase"]) == ("slow_client", None)
    wait_until(gateway.idle)


def test_the_idle_cap_stands_still_while_the_client_does_not_read(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, STREAM_IDLE_TIMEOUT_SECS=0.4)
    with RawClient(gateway.port, receive_buffer=4096) as client:
        client.post(PATH, {**BODY, "max_tokens": 7000, "ignore_eos": True}, headers="Connection: close\r\n")
        client.until(b"data: ")
        time.sleep(1.2)  # three times the cap, all of it the client's own doing
        received = client.rest()
    assert b"data: [DONE]" in received


def resident_kib(pid: int) -> int:
    """Memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 -- procfs
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_what_only_the_engine_refuses_is_a_status_though_vllm_says_it_in_a_stream(chat: Gateway) -> None:
    with chat.client() as client:
        answer = client.post(PATH, json={**BODY, "logprobs": True, "top_logprobs": 50})
    assert answer.status_code == 400
    assert "logprobs" in answer.json()["error"]["message"]
