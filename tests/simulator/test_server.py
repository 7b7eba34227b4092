"""How does a simulator start, keep connections, and stop?"""

import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.simulator.clients import (
    body,
    connected,
    endless,
    events,
    post,
    raw_request,
    read_to_end,
    read_until,
    read_until_silence,
)
from tests.support.simulators import Simulator

HEALTH = b"GET /health HTTP/1.1\r\nhost: vllm\r\n\r\n"


def test_its_first_line_names_both_addresses_and_it_serves_at_once() -> None:
    with Simulator("chat") as chat:
        assert httpx.get(f"{chat.url}/health", trust_env=False).status_code == 200
        assert httpx.get(f"{chat.control}/state", trust_env=False).json()["running"] == 0


def test_without_a_control_port_there_is_none() -> None:
    command = [sys.executable, "-m", "gateway.simulator", "qwen", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- this interpreter, our own module
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
        assert line.startswith("ready http://127.0.0.1:")
        assert "control" not in line
        assert process.wait(30) == 0


@pytest.mark.parametrize("flag", ["--task", "--disable-log-requests", "--swap-space", "--no-such-flag"])
def test_a_flag_that_vllm_does_not_know_ends_it_with_2(flag: str) -> None:
    with pytest.raises(RuntimeError, match=r"ended with 2: .*\n?.*error: unrecognized arguments"):
        Simulator("chat", flag, "1")


def test_the_idle_keep_alive_is_what_the_environment_says() -> None:
    with Simulator("chat", env={"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "1"}) as chat, connected(chat) as connection:
        connection.sendall(HEALTH)
        read_until(connection, b"\r\n\r\n")
        began = time.monotonic()
        assert read_to_end(connection) == b""
        assert time.monotonic() - began > 0.8  # and not much longer than a second, but for what else the machine does


def test_two_servers_may_share_a_port() -> None:
    with Simulator("chat") as first:
        port = int(first.url.rpartition(":")[2])
        with Simulator("chat", port=port) as second:
            assert second.url == first.url


@pytest.mark.parametrize("stream", [True, False])
def test_sigterm_aborts_what_runs_and_says_so(*, stream: bool) -> None:
    with Simulator("chat") as chat:
        chat.set_pace(token_ms=20)
        with connected(chat) as connection:
            options = {"stream_options": {"include_usage": True}} if stream else {}
            connection.sendall(raw_request(chat, endless(stream=stream, **options)))
            chat.until_state(running=1)
            chat.signal(signal.SIGTERM)
            found = read_to_end(connection)
        assert b'"finish_reason":"abort"' in found
        assert b'"completion_tokens":' in found
        assert found.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") is stream
        assert chat.wait() == 0


def test_after_sigterm_connections_are_refused() -> None:
    with Simulator("chat") as chat:
        chat.signal(signal.SIGTERM)
        assert chat.wait() == 0
        with pytest.raises(ConnectionRefusedError), connected(chat):
            pass


def test_with_a_shutdown_timeout_work_finishes_and_new_work_is_refused() -> None:
    with Simulator("chat", "--shutdown-timeout", "20") as chat:
        chat.set_pace(token_ms=20)
        with connected(chat) as connection:
            connection.sendall(raw_request(chat, endless(stream=True, max_tokens=100)))
            read_until(connection, b'"content":"')
            chat.signal(signal.SIGTERM)
            _until_draining(chat)
            assert httpx.get(f"{chat.url}/health", trust_env=False).status_code == 200
            refused = post(chat, body(stream=True))
            assert refused.status_code == 500
            assert refused.json()["error"]["message"] == "cannot schedule new futures after shutdown"
            found = read_to_end(connection)
        assert b'"finish_reason":"length"' in found
        assert found.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert chat.wait() == 0


def test_a_stream_that_exceeds_the_shutdown_timeout_hangs_open_until_its_client_leaves() -> None:
    with Simulator("chat", "--shutdown-timeout", "1") as chat:
        chat.set_pace(token_ms=20)
        with connected(chat) as connection:
            connection.sendall(raw_request(chat, endless(stream=True)))
            read_until(connection, b'"content":"')
            chat.signal(signal.SIGTERM)
            found = read_until_silence(connection, 1.5)
            assert b"[DONE]" not in found
            assert b"error" not in found
            with pytest.raises(ConnectionRefusedError), connected(chat):
                pass
            with pytest.raises(subprocess.TimeoutExpired):
                chat.wait(0.3)
        assert chat.wait() == 0


def test_an_answer_that_the_client_does_not_read_does_not_stop_the_engine(chat: Simulator) -> None:
    choices, each = 4, 8000
    with connected(chat) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
        connection.sendall(raw_request(chat, endless(stream=True, n=choices, max_tokens=each)))
        read_until(connection, b'"content":"')
        chat.until_state(running=0)
        found = read_until(connection, b"data: [DONE]\n\n")
    assert found.count(b"data: ") < choices * each  # what piled up went out as fewer, longer chunks
    assert events(post(chat, body(stream=True, max_tokens=1)))[-1] == "[DONE]"


def _until_draining(chat: Simulator) -> None:
    deadline = time.monotonic() + 30
    while not chat.state()["draining"]:
        assert time.monotonic() < deadline


def test_the_ledger_is_read_on_from_a_number(chat: Simulator) -> None:
    for _ in range(2):
        post(chat, body(max_tokens=1))
    first, second = chat.settled(requests=2)
    assert chat.ledger(after=first["number"]) == [second]
    assert chat.ledger(after=second["number"]) == []
