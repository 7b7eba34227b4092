"""How large may a body be, and where does it wait? Refused unread by its stated length, else at the limit."""

import gzip
import hashlib

import pytest

from tests.nginx.client import connect, exchange, request
from tests.nginx.upstream import Upstream, answer
from tests.support.nginx import NginxServer

LIMIT = 10 * 1024 * 1024
PATH = "/v1/chat/completions"


def test_a_stated_length_over_the_limit_is_refused_before_a_byte_is_read(edge: NginxServer, upstream: Upstream) -> None:
    with connect(edge) as connection:
        connection.send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT + 1}\r\n\r\n".encode())
        seen = connection.answer("POST")
        assert seen.status == 413
        assert seen.error()["code"] == "request_too_large"
        assert str(LIMIT) in seen.error()["message"]
    assert upstream.count() == 0


def test_a_client_that_asks_first_is_refused_without_sending(edge: NginxServer, upstream: Upstream) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT + 1}\r\nExpect: 100-continue\r\n\r\n"
    assert exchange(edge, head.encode(), method="POST").status == 413
    assert upstream.count() == 0


def test_a_chunked_body_is_refused_at_the_limit_and_the_connection_closed(
    impatient: NginxServer, upstream: Upstream
) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with connect(impatient) as connection:
        connection.send(head + b"1f4\r\n" + b"a" * 500 + b"\r\n")
        connection.send(b"1f5\r\n" + b"a" * 501 + b"\r\n")
        assert connection.answer("POST").status == 413
        connection.send(b"0\r\n\r\n" + request("/second"))
        assert connection.closed()
    assert upstream.count() == 0


def test_a_body_of_just_the_limit_arrives_whole(edge: NginxServer, upstream: Upstream) -> None:
    body = bytes(range(256)) * (LIMIT // 256)
    assert exchange(edge, request(PATH, method="POST", body=body), method="POST").status == 200
    assert hashlib.sha256(upstream.next().body).digest() == hashlib.sha256(body).digest()


def test_the_limit_is_the_gateways_setting(impatient: NginxServer, upstream: Upstream) -> None:
    assert exchange(impatient, request(PATH, method="POST", body=b"a" * 1000), method="POST").status == 200
    upstream.next()
    seen = exchange(impatient, request(PATH, method="POST", body=b"a" * 1001), method="POST")
    assert (seen.status, "1000" in seen.error()["message"]) == (413, True)


def test_the_gateway_hears_of_a_request_when_its_body_is_complete(edge: NginxServer, upstream: Upstream) -> None:
    before = upstream.heads
    with connect(edge) as connection:
        connection.send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{{}}".encode())
        # Whole exchanges on other connections: nginx's two workers had every chance to pass the first one on.
        for _ in range(20):
            assert exchange(edge, request("/v1/models")).status == 200
            upstream.next()
        assert upstream.heads == before + 20
        connection.send(b"  ")
        assert connection.answer("POST").status == 200
        assert upstream.next().body == b"{}  "


def test_json_is_compressed_for_those_who_ask_and_streams_never(edge: NginxServer, upstream: Upstream) -> None:
    body = b'{"a": "' + b"a" * 4000 + b'"}'
    asking = request("/v1/models", headers="Accept-Encoding: gzip\r\n")
    upstream.script = answer(body)
    seen = exchange(edge, asking)
    assert seen.header("content-encoding") == "gzip"
    assert gzip.decompress(seen.body) == body
    assert exchange(edge, request("/v1/models")).body == body
    upstream.script = answer(b"data: " + body + b"\n\n", headers=b"content-type: text/event-stream; charset=utf-8\r\n")
    seen = exchange(edge, asking)
    assert seen.header("content-encoding") is None
    assert seen.body == b"data: " + body + b"\n\n"


def test_a_compressed_request_body_is_not_touched(edge: NginxServer, upstream: Upstream) -> None:
    body = gzip.compress(b"{}")
    exchange(edge, request(PATH, method="POST", headers="Content-Encoding: gzip\r\n", body=body), method="POST")
    received = upstream.next()
    assert received.body == body
    assert received.values(b"content-encoding") == [b"gzip"]


@pytest.mark.parametrize("status", [b"413 Payload Too Large", b"404 Not Found", b"429 Too Many", b"503 No", b"400 No"])
def test_an_error_of_the_gateway_keeps_its_own_body_and_headers(
    edge: NginxServer, upstream: Upstream, status: bytes
) -> None:
    upstream.script = answer(b'{"error": "the gateway"}', status, b"x-should-retry: false\r\nretry-after: 7\r\n")
    seen = exchange(edge, request("/v1/models"))
    assert seen.status == int(status[:3])
    assert seen.body == b'{"error": "the gateway"}'
    assert (seen.header("x-should-retry"), seen.header("retry-after")) == ("false", "7")
