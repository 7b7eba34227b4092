"""What do clients cost that are slow on purpose? A connection for a bounded time, and nothing behind nginx."""

import threading
import time

import pytest

from tests.nginx.client import connect, exchange, request
from tests.nginx.upstream import Exchange, Upstream
from tests.support.nginx import NginxServer

SLACK = 30.0
"""Seconds that a busy machine may add to a time-out."""


@pytest.mark.parametrize("start", [b"", b"GET /v1/models HT", b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_end_closes_the_connection(
    impatient: NginxServer, upstream: Upstream, start: bytes
) -> None:
    with connect(impatient, seconds=1 + SLACK) as connection:
        connection.send(start)
        assert connection.closed()
    assert upstream.count() == 0


def test_a_byte_now_and_then_does_not_prolong_the_head(impatient: NginxServer, upstream: Upstream) -> None:
    began = time.monotonic()
    with connect(impatient, seconds=0.2) as connection:
        connection.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nA: ")
        while not connection.closed():
            connection.send(b"a")
            assert time.monotonic() - began < 1 + SLACK
    assert upstream.count() == 0


def test_a_body_that_stalls_closes_the_connection_and_never_reaches_the_gateway(
    impatient: NginxServer, upstream: Upstream
) -> None:
    with connect(impatient, seconds=1 + SLACK) as connection:
        connection.send(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert connection.closed()
    assert upstream.count() == 0
    assert _wait_for_log(impatient, '"status":408')


def test_stalled_clients_do_not_delay_others(edge: NginxServer, upstream: Upstream) -> None:
    stalled = [connect(edge) for _ in range(200)]
    try:
        for number, connection in enumerate(stalled):
            head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            connection.send(head if number % 2 else head + b"\r\n{")
        for _ in range(50):
            assert exchange(edge, request("/v1/models")).status == 200
        assert upstream.count() == 50
    finally:
        for connection in stalled:
            connection.raw.close()


def test_a_reader_that_stops_makes_nginx_hold_little_and_then_is_cut(
    impatient: NginxServer, upstream: Upstream
) -> None:
    sent, cut = [0], threading.Event()

    def stream(exchange_: Exchange) -> None:
        exchange_.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        try:
            while sent[0] < 64 * 1024 * 1024:
                exchange_.send(chunk)
                sent[0] += 4096
        finally:
            cut.set()

    upstream.script = stream
    with connect(impatient, receive_buffer=4096) as connection:
        connection.send(request("/v1/chat/completions", method="POST", body=b"{}"))
        connection.read_until(b"\r\n\r\n")
        assert cut.wait(1 + SLACK)
    # Seen: 0.9 MB with the kernel's buffers on both sides of nginx; 2.6 MB with buffering on, 3.1 MB without `sndbuf`.
    assert sent[0] < 1_500_000


def test_one_address_cannot_use_up_the_connections_of_all(impatient: NginxServer, upstream: Upstream) -> None:
    release = threading.Event()

    def wait(exchange_: Exchange) -> None:
        release.wait(20)
        exchange_.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    upstream.script = wait
    running = [connect(impatient) for _ in range(3)]
    try:
        for connection in running:
            connection.send(request("/v1/models"))
            upstream.next()
        refused = exchange(impatient, request("/v1/models"))
        assert (refused.status, refused.error()["code"]) == (429, "rate_limit_exceeded")
        assert refused.header("retry-after") == "1"
        release.set()
        assert [connection.answer().status for connection in running] == [200, 200, 200]
    finally:
        for connection in running:
            connection.raw.close()


def _wait_for_log(server: NginxServer, text: str) -> bool:
    """Whether `text` comes to stand in the log; lines are flushed every second."""
    deadline = time.monotonic() + SLACK
    while text not in server.log():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
