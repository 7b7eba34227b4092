"""Can one request be read as two, or a malformed one get through? It is refused before the gateway hears of it."""

import pytest

from tests.nginx.client import connect, exchange
from tests.nginx.upstream import Upstream
from tests.support.nginx import NginxServer

SECOND = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /v1/models HTTP/1.1\r\n"

AMBIGUOUS = {
    "length and chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two equal lengths": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two different lengths": POST + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "a hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length that overflows": POST + b"Content-Length: 18446744073709551618\r\n\r\n{}",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a list of codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a coding behind a tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is no number": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n0\r\n\r\n",
    "a chunk size with 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a negative chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk line that ends in LF": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    "LF in a chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n{}\r\n0\r\n\r\n",
    "bytes after a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
}
MALFORMED = {
    "obsolete folding": GET + b"Host: x\r\nA: b\r\n c\r\n\r\n",
    "NUL in a value": GET + b"Host: x\r\nA: b\0c\r\n\r\n",
    "NUL in a name": GET + b"Host: x\r\nA\0: b\r\n\r\n",
    "NUL in the path": b"GET /v1/\0models HTTP/1.1\r\nHost: x\r\n\r\n",
    "bare CR in a value": GET + b"Host: x\r\nA: b\rC: d\r\n\r\n",
    "a line without colon": GET + b"Host: x\r\nA b\r\n\r\n",
    "no Host": GET + b"\r\n",
    "an empty Host": GET + b"Host:\r\n\r\n",
    "no Host in HTTP/1.0": b"GET /v1/models HTTP/1.0\r\n\r\n",
    "two Hosts": GET + b"Host: x\r\nHost: y\r\n\r\n",
    "two equal Hosts": GET + b"Host: x\r\nHost: x\r\n\r\n",
    "a path in Host": GET + b"Host: x/admin?\r\n\r\n",
    "a blank in Host": GET + b"Host: x y\r\n\r\n",
    "userinfo in Host": GET + b"Host: x@y\r\n\r\n",
    "an unknown version": b"GET /v1/models HTTP/3.0\r\nHost: x\r\n\r\n",
    "a control character in the path": b"GET /v1/\x01models HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_ambiguous_body_is_refused_and_what_follows_never_runs(
    edge: NginxServer, upstream: Upstream, data: bytes
) -> None:
    with connect(edge) as connection:
        connection.send(data + SECOND)
        answer = connection.answer("POST")
        assert (answer.status, answer.error()["code"]) == (400, "invalid_request")
        assert connection.closed()
    assert upstream.count() == 0


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_head_is_refused_and_the_connection_closed(
    edge: NginxServer, upstream: Upstream, data: bytes
) -> None:
    with connect(edge) as connection:
        connection.send(data)
        answer = connection.answer()
        assert (answer.status, answer.error()["code"]) == (400, "invalid_request")
        assert connection.closed()
    assert upstream.count() == 0


def test_http_0_9_is_not_spoken(edge: NginxServer, upstream: Upstream) -> None:
    with connect(edge) as connection:
        connection.send(b"GET /v1/models\r\n")
        assert b'"code":"invalid_request"' in connection.receive()
    assert upstream.count() == 0


def test_bare_line_feeds_reach_the_gateway_as_one_request_in_plain_form(edge: NginxServer, upstream: Upstream) -> None:
    # RFC 9112, 2.2 lets a server take LF for CRLF; nginx does, and cannot be told otherwise (decision 0021).
    data = b"POST /v1/completions HTTP/1.1\nHost: x\r\nA: b\nContent-Length: 2\n\n{}"
    assert exchange(edge, data, method="POST").status == 200
    received = upstream.next()
    assert received.body == b"{}"
    assert received.values(b"a") == [b"b"]
    assert b"\n" not in received.head.replace(b"\r\n", b"")
    assert upstream.count() == 0


def test_a_length_that_hides_behind_a_bare_line_feed_still_conflicts(edge: NginxServer, upstream: Upstream) -> None:
    data = POST + b"A: b\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert exchange(edge, data + SECOND, method="POST").status == 400
    assert upstream.count() == 0


def test_a_chunked_body_arrives_with_its_length(edge: NginxServer, upstream: Upstream) -> None:
    data = POST + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n{ }\r\n1\r\n\n\r\n0\r\nTrailer-Field: z\r\n\r\n"
    assert exchange(edge, data, method="POST").status == 200
    received = upstream.next()
    assert received.body == b"{ }\n"
    assert received.values(b"transfer-encoding") == []
    assert received.values(b"trailer-field") == []


@pytest.mark.parametrize("lines", [b"A: " + b"a" * 1_000_000, b"A: b\r\n" * 100_000 + b"A: b"], ids=["1 MB", "100,000"])
def test_a_head_without_bounds_is_refused(edge: NginxServer, upstream: Upstream, lines: bytes) -> None:
    with connect(edge) as connection:
        connection.send(GET + b"Host: x\r\n" + lines + b"\r\n\r\n")
        answer = connection.answer()
        assert (answer.status, answer.error()["code"]) == (400, "headers_too_large")
    assert upstream.count() == 0


def test_more_fields_than_a_hundred_are_refused_however_short(edge: NginxServer, upstream: Upstream) -> None:
    assert exchange(edge, GET + b"Host: x\r\n" + b"A: b\r\n" * 99 + b"\r\n").status == 200
    upstream.next()
    assert exchange(edge, GET + b"Host: x\r\n" + b"A: b\r\n" * 100 + b"\r\n").status == 400
    assert upstream.count() == 0


def test_a_url_without_bounds_is_refused(edge: NginxServer, upstream: Upstream) -> None:
    answer = exchange(edge, b"GET /v1/models?" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (answer.status, answer.error()["code"]) == (414, "uri_too_long")
    assert upstream.count() == 0


def test_a_pipelined_request_runs_after_the_first_one(edge: NginxServer, upstream: Upstream) -> None:
    with connect(edge) as connection:
        connection.send(SECOND.replace(b"second", b"v1/models") + SECOND)
        assert [connection.answer().status, connection.answer().status] == [200, 200]
    assert [upstream.next().line, upstream.next().line] == [b"GET /v1/models HTTP/1.1", b"GET /second HTTP/1.1"]


@pytest.mark.parametrize("line", ["TRACE /v1/models", "CONNECT x:443"])
def test_methods_that_are_for_proxies_are_not_allowed(edge: NginxServer, upstream: Upstream, line: str) -> None:
    answer = exchange(edge, f"{line} HTTP/1.1\r\nHost: x:443\r\n\r\n".encode())
    assert (answer.status, answer.error()["code"]) == (405, "method_not_allowed")
    assert upstream.count() == 0
