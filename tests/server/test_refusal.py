"""What is refused before it becomes a request, and who is told."""

import asyncio
from typing import Any

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.core.errors import BadRequestError
from tests.server.door import Echo, ask, client, connection_of, eventually, reply, request, serving, turns

pytestmark = pytest.mark.anyio

HOST = b"Host: gateway.test\r\n"

MALFORMED = {
    "length and chunks": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "two lengths in one": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\nabc",
    "an obscured encoding": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, then identity": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: a\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a Host that is none": b"GET / HTTP/1.1\r\nHost: x/admin?\r\n\r\n",
    "another version": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": b"CONNECT other:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "another protocol's version": b"GET / RTSP/1.0\r\n" + HOST + b"\r\n",
    "another protocol's 1.1": b"DESCRIBE / RTSP/1.1\r\n" + HOST + b"\r\n",
    "another protocol's method": b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n",
    "another protocol's target": b"GET ftp://evil/v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a byte that no URL has": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_request_is_answered_400_and_closed(data: bytes) -> None:
    echo = Echo()
    async with serving(echo) as door:
        answer = await ask(door, data + request("GET", "/smuggled"))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close\r\n" in answer
    assert b"x-request-id: " in answer
    assert answer.count(b'{"error":{"message":"') == 1
    assert answer.endswith(b"}}")
    assert not echo.scopes


@pytest.mark.parametrize(
    "data",
    [
        request("GET", "/", b"", b"X: " + b"a" * 1_000_000),
        request("GET", "/", b"", *[b"X-%d: a" % number for number in range(100_000)]),
        request("GET", "/", b"", *[b"X-%d: a" % number for number in range(130)]),
        request("GET", "/" + "a" * 70_000),
    ],
    ids=["one of a megabyte", "a hundred thousand", "a few too many", "a long path"],
)
async def test_headers_beyond_the_bound_are_answered_431(data: bytes) -> None:
    echo = Echo()
    async with serving(echo) as door, client(door) as it:
        it.writer.write(data)
        answer = await it.rest()
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert not echo.scopes


async def test_a_head_without_end_is_refused_when_it_passes_the_bound() -> None:
    async with serving(Echo(), max_header_bytes=4096) as door, client(door) as it:
        await it.send(b"GET / HTTP/1.1\r\n" + HOST)
        for _ in range(9):
            await it.send(b"X: " + b"a" * 497)
        assert b" 431 " in await it.rest()


async def test_another_protocol_is_known_though_its_line_comes_in_pieces() -> None:
    echo = Echo()
    async with serving(echo) as door, client(door) as it:
        for byte in b"GET / RTSP/1.0\r\n" + HOST + b"\r\n":
            await it.send(bytes([byte]))
            await turns()
        assert b" 400 " in await it.rest()
    assert not echo.scopes


CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"2\r\n{}\r\n0\r\nx: ", b"a" * 4096),
        (b"2\r\n{}\r\n0\r\n", b"a" * 4096),
        (b"2\r\n{}\r\n0\r\n", b"a: b\r\n" * 500),
        (b"2;a=", b"a" * 4096),
        (b"", b"1\r\na\r\n" * 500),
        (b"", b"5\r\naaaaa\r\n" * 500),
    ],
    ids=["a trailer", "a trailer's name", "trailers", "an extension", "chunks of a byte", "chunks of five bytes"],
)
async def test_a_body_of_framing_alone_is_broken_off_when_it_passes_the_bound_of_a_head(
    begin: bytes, more: bytes
) -> None:
    sent = 0
    async with serving(Echo(), max_header_bytes=16384) as door, client(door) as it:
        await it.send(CHUNKED + begin)
        answering = asyncio.ensure_future(it.rest())
        while not answering.done() and sent < 10_000_000:
            await it.send(more)
            sent += len(more)
            await asyncio.sleep(0)  # noqa: TID251 -- no time passes: the answer may come
        answer = await answering
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"more framing than content" in answer


async def test_little_is_looked_at_before_a_body_of_framing_is_broken_off() -> None:
    received = 0
    begun = asyncio.Event()

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        nonlocal received
        begun.set()
        while True:
            received += len((await receive())["body"])

    async with serving(app, max_header_bytes=1024) as door, client(door) as it:
        await it.send(CHUNKED)
        await begun.wait()
        connection: Any = next(iter(door.state.connections))
        connection.data_received(b"1\r\na\r\n" * 40_000)  # as much as the loop reads at once
        assert b" 400 " in await it.rest()
    assert received < 70_000 / 6


@pytest.mark.parametrize("size", [24, 1000])
async def test_small_chunks_are_no_offence(size: int) -> None:
    count = 2_000_000 // size
    async with serving(Echo(), max_header_bytes=1024) as door, client(door) as it:
        answering = asyncio.ensure_future(it.answer())
        await it.send(CHUNKED + (b"%x\r\n" % size + b"a" * size + b"\r\n") * count + b"0\r\nx: " + b"a" * 900)
        await it.send(b"\r\n\r\n")
        assert (await answering).endswith(b"\r\n\r\n" + b"a" * (size * count))


async def test_content_does_not_pay_for_a_long_trailer() -> None:
    async with serving(Echo(), max_header_bytes=16384) as door, client(door) as it:
        await it.send(CHUNKED + b"%x\r\n" % 1_000_000 + b"a" * 1_000_000 + b"\r\n0\r\nx: " + b"a" * 100_000)
        assert (await it.rest()).startswith(b"HTTP/1.1 400 ")


async def test_a_broken_body_is_the_applications_to_answer_under_its_own_id() -> None:
    seen: list[object] = []

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        try:
            while True:
                seen.append((await receive())["body"])
        except BadRequestError as error:
            seen.append(error.status)
            await reply(send, b"told by the application", status=error.status)

    async with serving(app) as door, client(door) as it:
        await it.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await eventually(lambda: seen == [b"abc"])
        await it.send(b"zz\r\n")
        answer = await it.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"told by the application")
    assert seen == [b"abc", 400]
    assert not door.refused


async def test_a_broken_body_is_answered_400_though_the_application_lets_it_pass() -> None:
    async with serving(Echo()) as door:
        answer = await ask(door, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"invalid_request"' in answer


async def test_a_broken_body_does_not_hide_a_departure() -> None:
    gone = asyncio.Event()

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        connection_of(scope).watch(gone.set)
        await asyncio.Event().wait()

    async with serving(app) as door, client(door) as it:
        await it.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        it.leave()
        assert await gone.wait()


@pytest.mark.parametrize(
    ("data", "status", "outcome", "target"),
    [
        (b"no HTTP at all\r\n\r\n", 400, "invalid_request", ""),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", 400, "invalid_request", "/v1/models"),
        (request("GET", "/x", b"", b"X: " + b"a" * 70_000), 431, "headers_too_large", "/x"),
        (b"GET /late HTTP/1.1\r\nX: ", 408, "headers_timeout", "/late"),
    ],
    ids=["no HTTP", "a bad head", "a large head", "a late head"],
)
async def test_a_refusal_is_told_once_with_the_id_that_its_client_got(
    data: bytes, status: int, outcome: str, target: str
) -> None:
    async with serving(Echo(), header_timeout=0.1) as door:
        answer = await ask(door, data)
    (refused,) = door.refused
    assert f"x-request-id: {refused.request_id}\r\n".encode() in answer
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (refused.status, refused.outcome, refused.peer) == (status, outcome, "127.0.0.1")
    assert refused.target == target
    assert status != 408 or refused.seconds > 0.09  # the loop counts milliseconds


async def test_a_connection_without_a_request_is_no_refusal() -> None:
    async with serving(Echo(), header_timeout=0.05) as door:
        assert await ask(door, b"\r\n") == b""
    assert not door.refused
