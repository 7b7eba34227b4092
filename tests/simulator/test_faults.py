"""Does each fault do to a connection what its name says, down to FIN and RST?"""

import contextlib
import time
from typing import Any

import httpx
import pytest

from gateway.simulator.faults import KINDS
from tests.simulator.clients import (
    body,
    connected,
    endless,
    events,
    post,
    raw_request,
    read_to_end,
    read_until,
    read_until_reset,
    read_until_silence,
)
from tests.support.simulators import Simulator


def test_refuse_closes_the_listener_until_it_is_taken_away(chat: Simulator) -> None:
    chat.set_fault("refuse")
    with pytest.raises(ConnectionRefusedError), connected(chat):
        pass
    chat.clear()
    assert post(chat, body(max_tokens=1)).status_code == 200


def test_refuse_closes_idle_connections_too(chat: Simulator) -> None:
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(max_tokens=1)))
        read_until(connection, b'"metrics":null}')
        chat.set_fault("refuse")
        assert read_to_end(connection) == b""
    chat.clear()


def test_reset_before_headers_is_an_rst_after_the_request_was_read(chat: Simulator) -> None:
    chat.set_fault("reset_before_headers")
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body()))
        assert read_until_reset(connection) == b""
    (row,) = chat.settled()
    assert (row["ended"], row["status"], row["fault"]) == ("failed", None, "reset_before_headers")


def test_reset_mid_stream_is_an_rst_after_so_many_events(chat: Simulator) -> None:
    chat.set_fault("reset_mid_stream", after=4)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(stream=True)))
        found = read_until_reset(connection)
    assert found.count(b"data: ") == 4
    assert chat.settled()[0]["ended"] == "failed"
    assert chat.state()["running"] == 0


@pytest.mark.parametrize("terminated", [False, True])
def test_eof_mid_stream_is_a_fin_with_or_without_the_last_chunk(chat: Simulator, *, terminated: bool) -> None:
    chat.set_fault("eof_mid_stream", after=4, terminated=terminated)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(stream=True)))
        found = read_to_end(connection)
    assert found.count(b"data: ") == 4
    assert b"[DONE]" not in found
    assert found.endswith(b"\r\n0\r\n\r\n") is terminated


@pytest.mark.parametrize("name", ["truncated_body", "eof_mid_stream"])
def test_a_json_body_is_cut_in_its_middle(chat: Simulator, name: str) -> None:
    chat.set_fault(name)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body()))
        head, _, rest = read_to_end(connection).partition(b"\r\n\r\n")
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(rest) == length // 2


def test_hang_sends_nothing_and_ends_with_the_client(chat: Simulator) -> None:
    chat.set_fault("hang")
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(stream=True)))
        assert read_until_silence(connection, 0.2) == b""
    assert chat.settled()[0]["ended"] == "aborted"


def test_silence_stops_in_mid_stream_and_keeps_its_place(chat: Simulator) -> None:
    chat.set_fault("silence", after=3)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(stream=True)))
        found = read_until_silence(connection, 0.3)
        assert found.count(b"data: ") == 4  # the role and three tokens
        assert chat.state()["running"] == 1
    chat.until_state(running=0)


def test_comments_only_sends_comments_and_nothing_else(chat: Simulator) -> None:
    chat.set_fault("comments_only", after=2, seconds=0.02)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(stream=True)))
        found = b""
        while found.count(b": keep-alive\n\n") < 3:
            found += connection.recv(65536)
    assert found.count(b"data: ") == 3


def test_in_band_error_is_followed_by_done(chat: Simulator) -> None:
    chat.set_fault("in_band_error", after=2)
    answer = post(chat, body(stream=True))
    *_, failure, done = events(answer)
    assert (answer.status_code, failure["error"]["code"], done) == (200, 500, "[DONE]")
    assert 'data: {"error": {"message": "EngineCore' in answer.text
    assert chat.settled()[0]["ended"] == "failed"


def test_an_engine_error_of_an_unstreamed_request_is_a_500(chat: Simulator) -> None:
    chat.set_fault("in_band_error", after=2)
    answer = post(chat, body())
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "InternalServerError")


def test_an_engine_error_speaks_anthropic_on_messages(chat: Simulator) -> None:
    chat.set_fault("in_band_error", after=2)
    answer = post(chat, body(stream=True, max_tokens=50), "/v1/messages")
    assert answer.text.rstrip().split("\n\n")[-1].startswith('event: error\ndata: {"type":"error","error":')
    assert "message_stop" not in answer.text


def test_an_engine_error_drops_the_connection_on_responses(chat: Simulator) -> None:
    chat.set_fault("in_band_error", after=2)
    with pytest.raises(httpx.RemoteProtocolError):
        post(chat, {"model": "qwen", "input": "hi", "stream": True}, "/v1/responses")


@pytest.mark.parametrize("stream", [True, False])
def test_abort_ends_with_its_reason_and_usage(chat: Simulator, *, stream: bool) -> None:
    chat.set_fault("abort", after=2)
    options = {"stream_options": {"include_usage": True}} if stream else {}
    answer = post(chat, body(stream=stream, **options))
    if not stream:
        found = answer.json()
        assert found["choices"][0]["finish_reason"] == "abort"
        assert found["usage"]["completion_tokens"] == 2
        return
    *_, last, usage, done = events(answer)
    assert (last["choices"][0]["finish_reason"], usage["usage"]["completion_tokens"], done) == ("abort", 2, "[DONE]")


@pytest.mark.parametrize(
    ("parameters", "status", "expected"),
    [
        ({"form": "queue_full"}, 503, "The engine is currently busy"),
        ({"form": "draining"}, 500, "cannot schedule new futures after shutdown"),
        ({"form": "engine_dead"}, 500, "EngineCore encountered an issue"),
        ({"status": 429}, 429, '"type":"Too Many Requests"'),
        ({"status": 401}, 401, '{"error":"Unauthorized"}'),
        ({"status": 404, "form": "detail"}, 404, '{"detail":"Not Found"}'),
        ({"status": 422, "message": "because"}, 422, '"message":"because"'),
    ],
)
def test_status_answers_in_vllms_forms(
    chat: Simulator, parameters: dict[str, object], status: int, expected: str
) -> None:
    chat.set_fault("status", **parameters)
    answer = post(chat, body())
    assert answer.status_code == status
    assert expected in answer.text
    assert chat.settled()[0]["ended"] == "refused"


def test_html_comes_with_a_200(chat: Simulator) -> None:
    chat.set_fault("html_200")
    answer = post(chat, body(stream=True))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")


def test_one_event_of_a_stream_is_broken_json(chat: Simulator) -> None:
    chat.set_fault("broken_json_event", after=2)
    with pytest.raises(ValueError, match="unexpected end of data"):
        events(post(chat, body(stream=True)))


def test_slow_makes_a_token_every_so_many_seconds(chat: Simulator) -> None:
    chat.set_fault("slow", seconds=0.05)
    post(chat, body(max_tokens=5))
    (row,) = chat.settled()
    assert row["finished"] - row["started"] >= 0.19


def test_a_stray_answer_follows_the_first_on_the_same_connection(chat: Simulator) -> None:
    chat.set_fault("stray_second_answer")
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(max_tokens=1)))
        found = read_until(connection, b"stray-answer")
    assert found.count(b"HTTP/1.1 200 OK") == 2


def test_close_idle_ends_the_connection_after_a_whole_answer(chat: Simulator) -> None:
    chat.set_fault("close_idle")
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body(max_tokens=1)))
        found = read_to_end(connection)
    assert b"connection: close" not in found.lower()
    assert found.endswith(b"}")
    assert chat.settled()[0]["ended"] == "finished"


def test_a_delay_holds_the_answer_back_and_ends_with_the_client(chat: Simulator) -> None:
    chat.set_fault("delay", path="/health", seconds=0.05)
    assert httpx.get(f"{chat.url}/health", trust_env=False).status_code == 200
    (row,) = chat.ledger(probes=True)
    assert row["finished"] - row["started"] >= 0.045  # the loop's clock is read once a round
    chat.set_fault("delay", seconds=60)
    with connected(chat) as connection:
        connection.sendall(raw_request(chat, body()))
        assert read_until_silence(connection, 0.1) == b""
    assert chat.settled()[-1]["ended"] == "aborted"


def test_metrics_can_be_stale_garbage_or_huge(chat: Simulator) -> None:
    before = chat.metrics_text()
    chat.set_fault("text", path="/metrics", text=before)
    assert post(chat, body(max_tokens=1)).status_code == 200
    answer = httpx.get(f"{chat.url}/metrics", trust_env=False)
    assert (answer.text, answer.headers["content-type"]) == (before, "text/plain; version=0.0.4; charset=utf-8")
    chat.set_fault("text", path="/metrics", text="# garbage\n", repeat=1_000_000)
    assert len(chat.metrics_text()) == 10_000_000
    chat.set_fault("status", path="/metrics", status=404, form="detail")
    assert httpx.get(f"{chat.url}/metrics", trust_env=False).status_code == 404


def test_endless_metrics_end_with_the_client(chat: Simulator) -> None:
    chat.set_fault("endless", path="/metrics", text="# nothing\n")
    with connected(chat) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: vllm\r\n\r\n")
        found = b""
        while found.count(b"# nothing") < 3:
            found += connection.recv(65536)
    assert wait_for_aborted(chat)["status"] == 200


def test_a_fault_strikes_as_often_as_its_count_says(chat: Simulator) -> None:
    chat.set_fault("status", status=500, count=2)
    assert [post(chat, body(max_tokens=1)).status_code for _ in range(3)] == [500, 500, 200]


def test_a_fault_with_a_path_strikes_that_path_only(chat: Simulator) -> None:
    chat.set_faults({"name": "status", "path": "/v1/completions"}, {"name": "status", "status": 503, "path": "/health"})
    assert post(chat, body(max_tokens=1)).status_code == 200
    assert post(chat, {"prompt": "hi"}, "/v1/completions").status_code == 500
    assert httpx.get(f"{chat.url}/health", trust_env=False).status_code == 503


def test_a_fault_without_a_path_spares_health(chat: Simulator) -> None:
    chat.set_fault("hang")
    assert httpx.get(f"{chat.url}/health", trust_env=False).status_code == 200


def test_an_unknown_fault_or_parameter_is_refused_and_the_known_ones_listed(chat: Simulator) -> None:
    for row in ({"name": "flood"}, {"name": "hang", "seconds": 3}, {"name": "status", "form": "haiku"}):
        answer = httpx.put(f"{chat.control}/faults", json=row, trust_env=False)
        assert answer.status_code == 400
    assert "reset_mid_stream" in httpx.put(f"{chat.control}/faults", json={"name": "flood"}, trust_env=False).text


def test_a_fault_without_its_name_is_told_so(chat: Simulator) -> None:
    answer = httpx.put(f"{chat.control}/faults", json={"status": 500}, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith('a fault\'s "name" is missing; there are refuse, ')


ENDING = [name for name in KINDS if name not in ("refuse", "hang", "silence", "comments_only", "slow", "endless")]


@pytest.mark.parametrize("name", ENDING)
def test_after_each_fault_nothing_runs_and_the_next_request_is_served(chat: Simulator, name: str) -> None:
    chat.set_fault(name, count=1)
    with contextlib.suppress(httpx.HTTPError):
        post(chat, endless(stream=True, max_tokens=60))
    chat.until_state(running=0)
    assert post(chat, body(max_tokens=3)).json()["usage"]["completion_tokens"] == 3


def wait_for_aborted(chat: Simulator) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        rows = [row for row in chat.ledger(probes=True) if row["ended"] == "aborted"]
        if rows:
            return rows[0]
        assert time.monotonic() < deadline
