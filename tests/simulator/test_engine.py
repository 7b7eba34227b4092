"""Who runs and who waits, and what happens to work whose client has left?"""

import socket
import struct
import threading
import time

import httpx
import pytest

from tests.simulator.clients import body, connected, endless, events, post, raw_request, read_until
from tests.support.simulators import Simulator


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_a_client_that_leaves_frees_its_place_at_once(chat: Simulator, *, stream: bool, reset: bool) -> None:
    chat.set_pace(token_ms=20)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, endless(stream=stream)))
        chat.until_state(running=1)
        if stream:
            read_until(connection, b"data: ")
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    chat.until_state(running=0)
    (row,) = chat.settled()
    assert row["ended"] == "aborted"
    assert 0 <= row["completion_tokens"] < 1000  # 20 s of them
    assert chat.metric("vllm:num_requests_running") == 0


def test_an_aborted_client_counts_as_no_success(chat: Simulator) -> None:
    before = chat.metric("vllm:request_success_total")
    chat.set_pace(token_ms=20)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, endless(stream=True)))
        read_until(connection, b"data: ")
    chat.settled(requests=1)
    assert chat.metric("vllm:request_success_total") == before


def test_a_client_that_leaves_the_queue_never_runs(chat: Simulator) -> None:
    chat.set_pace(token_ms=20)
    with connected(chat) as first, connected(chat) as second:
        for connection in (first, second):
            connection.sendall(raw_request(chat, endless(stream=True)))
        chat.until_state(running=2)
        with connected(chat) as third:
            third.sendall(raw_request(chat, endless()))
            chat.until_state(running=2, waiting=1)
            assert chat.metrics()['vllm:num_requests_waiting{engine="0",model_name="qwen"}'] == 1
        chat.until_state(running=2, waiting=0)
    rows = chat.settled(requests=3)
    assert [row["completion_tokens"] for row in rows if not row["streamed"]] == [0]


def test_a_place_that_gets_free_goes_to_the_one_who_waits_longest(chat: Simulator) -> None:
    chat.stop_engine()
    threads = [threading.Thread(target=_ask, args=(chat, name)) for name in "abcd"]
    for number, thread in enumerate(threads, 1):
        thread.start()
        _until_unfinished(chat, number)
    chat.set_pace(token_ms=2)
    chat.resume_engine()
    chat.until_state(running=2, waiting=2)
    for thread in threads:
        thread.join()
    finished = sorted(chat.settled(requests=4), key=lambda row: row["finished"])
    assert {row["request_id"] for row in finished[:2]} == {"a", "b"}


def test_lower_priorities_overtake_under_the_priority_policy() -> None:
    with Simulator("chat", "--max-num-seqs", "1", "--scheduling-policy", "priority") as chat:
        chat.stop_engine()
        threads = [
            threading.Thread(target=_ask, args=(chat, name, priority))
            for name, priority in (("late", 5), ("early", -5))
        ]
        for number, thread in enumerate(threads, 1):
            thread.start()
            _until_unfinished(chat, number)
        chat.resume_engine()
        for thread in threads:
            thread.join()
        order = sorted(chat.settled(requests=2), key=lambda row: (row["finished"], row["request_id"] != "early"))
        assert order[0]["request_id"] == "early"


def test_over_the_queue_cap_it_is_503_streamed_or_not() -> None:
    with Simulator("chat", "--max-num-queued-reqs", "1") as chat:
        chat.set_pace(token_ms=20)
        with connected(chat) as connection:
            connection.sendall(raw_request(chat, endless(stream=True)))
            chat.until_state(running=1)
            for content, path in (
                (body(), "/v1/chat/completions"),
                (body(stream=True), "/v1/chat/completions"),
                ({"model": "qwen", "prompt": "hi"}, "/v1/completions"),
                ({"model": "qwen", "input": "hi"}, "/v1/responses"),
            ):
                refused = post(chat, content, path)
                assert (refused.status_code, refused.json()["error"]["type"]) == (503, "Service Unavailable")
                assert "retry-after" not in refused.headers
            anthropic = post(chat, body(max_tokens=5), "/v1/messages")
            assert (anthropic.status_code, anthropic.json()["type"]) == (503, "error")
            assert post(chat, {"prompt": "hi"}, "/tokenize").status_code == 200
            assert chat.metric("vllm:admission_rejections_total") == 5


def test_a_stopped_engine_looks_healthy_and_goes_on_when_resumed(chat: Simulator) -> None:
    chat.stop_engine()
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(stream=True)))
        _until_unfinished(chat, 1)
        assert httpx.get(f"{chat.url}/health", trust_env=False).status_code == 200
        assert b"data:" not in read_until(connection, b"\r\n\r\n")
        chat.resume_engine()
        read_until(connection, b"data: [DONE]\n\n")


def test_the_metrics_of_a_stopped_engine_stay_as_they_are_whoever_comes_or_leaves(chat: Simulator) -> None:
    chat.set_pace(token_ms=5)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, endless(stream=True)))
        read_until(connection, b'"content":"')
        chat.stop_engine()
        before = chat.metrics()
        with connected(chat) as second:
            second.sendall(raw_request(chat, endless(stream=True)))
            _until_unfinished(chat, 2)
            assert _of_the_engine(chat.metrics()) == _of_the_engine(before)
    chat.until_state(running=0)
    assert chat.metric("vllm:num_requests_running") == 1
    chat.resume_engine()
    assert chat.metric("vllm:num_requests_running") == 0


def test_a_dead_engine_ends_streams_in_band_and_health_says_503() -> None:
    with Simulator("chat") as chat:
        chat.set_pace(token_ms=20)
        with connected(chat) as connection:
            connection.sendall(raw_request(chat, endless(stream=True)))
            read_until(connection, b'"content":"')
            chat.kill_engine()
            tail = read_until(connection, b"0\r\n\r\n")
        assert b'data: {"error": {"message": "EngineCore encountered an issue.' in tail
        assert b"data: [DONE]\n\n" in tail
        assert httpx.get(f"{chat.url}/health", trust_env=False).status_code == 503
        assert post(chat, body()).status_code == 500


def test_tokens_come_at_their_pace(chat: Simulator) -> None:
    chat.set_pace(ttft_ms=100, token_ms=10)
    post(chat, body(max_tokens=11))
    (row,) = chat.settled(requests=1)
    assert row["finished"] - row["started"] >= 0.19  # the first token after 0.1 s, ten more after 0.01 s each


@pytest.mark.parametrize(("interval", "chunks"), [(1, 10), (4, 4)])
def test_the_stream_interval_gathers_tokens_into_chunks(interval: int, chunks: int) -> None:
    with Simulator("chat", "--stream-interval", str(interval)) as chat:
        chat.set_pace(token_ms=5)
        found = events(post(chat, body(stream=True, max_tokens=10)))
        contents = [event for event in found[:-1] if "role" not in event["choices"][0]["delta"]]
        assert len(contents) == chunks


def test_comments_fill_the_silence_where_they_are_switched_on() -> None:
    with Simulator("chat", "--sse-keep-alive-interval", "1") as chat:
        chat.stop_engine()
        with connected(chat) as connection:
            connection.sendall(raw_request(chat, body(stream=True)))
            assert b"data: " not in read_until(connection, b": keep-alive\n\n")
            chat.resume_engine()
            read_until(connection, b"data: [DONE]\n\n")


def test_the_metrics_count_what_was_made(chat: Simulator) -> None:
    before = {name: chat.metric(name) for name in ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")}
    usage = post(chat, body(max_tokens=7)).json()["usage"]
    assert chat.metric("vllm:prompt_tokens_total") - before["vllm:prompt_tokens_total"] == usage["prompt_tokens"]
    assert chat.metric("vllm:generation_tokens_total") - before["vllm:generation_tokens_total"] == 7
    (row,) = chat.ledger()
    assert (row["prompt_tokens"], row["completion_tokens"]) == (usage["prompt_tokens"], 7)


def _of_the_engine(samples: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in samples.items() if name.startswith("vllm:")}


def _ask(chat: Simulator, name: str, priority: int = 0) -> None:
    headers = {"x-request-id": name}
    answer = post(chat, body(max_tokens=400, ignore_eos=True, priority=priority), **headers)
    assert answer.status_code == 200, answer.text


def _until_unfinished(chat: Simulator, number: int) -> None:
    deadline = time.monotonic() + 30
    while sum(chat.state()[key] for key in ("running", "waiting")) < number:
        assert time.monotonic() < deadline
