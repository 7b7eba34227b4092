"""What does nginx do between a client and a gateway that fails, streams or comes back? Nothing twice, nothing late."""

import socket
import struct
import threading

import pytest

from tests.nginx.client import Connection, connect, exchange, request
from tests.nginx.upstream import Exchange, Script, Upstream, answer
from tests.support.nginx import NginxServer

POST = request("/v1/chat/completions", method="POST", body=b'{"stream": true}')
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_each_event_arrives_before_the_next_one_is_made(edge: NginxServer, upstream: Upstream) -> None:
    seen = threading.Semaphore(0)
    events = [b'data: {"n": %d}\n\n' % number for number in range(20)]

    def stream(exchange_: Exchange) -> None:
        exchange_.send(STREAM_HEAD)
        for event in events:
            exchange_.send(_chunk(event))
            # The next event is made when the client has this one: a proxy that holds anything back ends here.
            assert seen.acquire(timeout=30)
        exchange_.send(b"0\r\n\r\n")

    upstream.script = stream
    with connect(edge) as connection:
        connection.send(POST.replace(b"\r\n\r\n", b"\r\nAccept-Encoding: gzip, br\r\n\r\n", 1))
        connection.read_until(b"\r\n\r\n")
        arrived = []
        for chunk in connection.chunks():
            arrived.append(chunk)
            seen.release()
    assert arrived == events


def test_a_stream_that_breaks_off_does_not_look_complete(edge: NginxServer, upstream: Upstream) -> None:
    def stream(exchange_: Exchange) -> None:
        exchange_.send(STREAM_HEAD + _chunk(b"data: 1\n\n"))
        exchange_.connection.close()

    upstream.script = stream
    with connect(edge) as connection:
        connection.send(POST)
        connection.read_until(b"data: 1\n\n")
        rest = b""
        while more := connection.receive():
            rest += more
    assert b"0\r\n\r\n" not in rest


def _reset(exchange_: Exchange) -> None:
    exchange_.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange_.connection.close()


def _close(exchange_: Exchange) -> None:
    exchange_.connection.shutdown(socket.SHUT_RDWR)


def _half_a_head(exchange_: Exchange) -> None:
    exchange_.send(b"HTTP/1.1 200 OK\r\ncontent-")
    exchange_.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("script", [_reset, _close, _half_a_head])
@pytest.mark.parametrize("connection", ["fresh", "reused"])
def test_a_post_that_was_taken_and_lost_is_not_sent_again(
    edge: NginxServer, upstream: Upstream, script: Script, connection: str
) -> None:
    if connection == "reused":
        assert exchange(edge, request("/v1/models")).status == 200
        upstream.next()
    upstream.script = script
    seen = exchange(edge, POST, method="POST")
    assert (seen.status, seen.error()["code"]) == (502, "bad_gateway")
    assert seen.header("x-should-retry") == "false"
    assert seen.header("retry-after") is None
    upstream.next()
    assert upstream.count() == 0


def test_a_gateway_that_is_gone_is_a_quick_502_and_back_at_once(edge: NginxServer, upstream: Upstream) -> None:
    upstream.refuse()
    try:
        for _ in range(5):
            seen = exchange(edge, POST, method="POST")
            assert (seen.status, seen.error()["code"]) == (502, "bad_gateway")
            # Nothing was sent: the SDK may try again.
            assert (seen.header("x-should-retry"), seen.header("retry-after")) == (None, "1")
    finally:
        upstream.resume()
    # The very first one gets through: no failure was held against the gateway.
    assert exchange(edge, POST, method="POST").status == 200
    assert upstream.next().body == b'{"stream": true}'


def test_connections_to_the_gateway_are_kept(edge: NginxServer, upstream: Upstream) -> None:
    assert exchange(edge, request("/v1/models")).status == 200
    before = upstream.connections
    for _ in range(20):
        assert exchange(edge, request("/v1/models")).status == 200
    # One per nginx worker at the most.
    assert upstream.connections - before <= 2
    assert upstream.next().values(b"connection") == []


@pytest.mark.parametrize("phase", ["before the answer", "in its middle"])
@pytest.mark.parametrize("leave", ["close", "reset", "pipelined"])
def test_a_client_that_leaves_is_gone_for_the_gateway_too(
    edge: NginxServer, upstream: Upstream, phase: str, leave: str
) -> None:
    begun, noticed = threading.Event(), threading.Event()

    def wait(exchange_: Exchange) -> None:
        if phase == "in its middle":
            exchange_.send(STREAM_HEAD + _chunk(b"data: 1\n\n"))
        begun.set()
        if exchange_.wait_for_departure(30):
            noticed.set()

    upstream.script = wait
    with connect(edge) as connection:
        connection.send(POST + (request("/second") if leave == "pipelined" else b""))
        assert begun.wait(30)
        if leave == "reset":
            connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert noticed.wait(30)
    upstream.next()
    assert upstream.count() == 0


def test_a_client_of_http_1_0_gets_the_body_without_chunks(edge: NginxServer, upstream: Upstream) -> None:
    upstream.script = lambda exchange_: exchange_.send(STREAM_HEAD + _chunk(b"data: 1\n\n") + b"0\r\n\r\n")
    with connect(edge) as connection:
        connection.send(b"GET /v1/models HTTP/1.0\r\nHost: x\r\n\r\n")
        assert _all(connection).endswith(b"\r\n\r\ndata: 1\n\n")


def test_a_head_request_has_no_body(edge: NginxServer, upstream: Upstream) -> None:
    upstream.script = lambda exchange_: exchange_.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    with connect(edge) as connection:
        connection.send(request("/health", method="HEAD") + request("/metrics", method="HEAD"))
        assert [connection.answer("HEAD").status, connection.answer("HEAD").status] == [200, 404]


def test_the_log_says_what_happened_and_nothing_of_the_query_or_the_key(edge: NginxServer, upstream: Upstream) -> None:
    upstream.script = answer(headers=b"x-request-id: id-of-the-gateway-7\r\n")
    exchange(edge, request("/v1/models?secret=canary-1", headers="Authorization: Bearer canary-2\r\n"))
    exchange(edge, request("/v1/models"))
    # Lines are flushed when the worker has been idle for a second or its buffer is full.
    for _ in range(400):
        exchange(edge, request("/v1/models"))
        if "id-of-the-gateway-7" in edge.log():
            break
    assert "id-of-the-gateway-7" in edge.log()
    assert "canary" not in edge.log()


def _all(connection: Connection) -> bytes:
    data = b""
    while more := connection.receive():
        data += more
    return data
