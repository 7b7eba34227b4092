"""What a client's bytes become: a request, or a refusal; on real sockets."""

import asyncio

import pytest

from gateway.core.asgi import Receive, Scope, Send
from tests.server.door import Echo, ask, client, connection_of, eventually, read_body, reply, request, serving

pytestmark = pytest.mark.anyio

HOST = b"Host: gateway.test\r\n"


# What a request becomes.


async def test_a_request_becomes_a_scope_and_its_answer_an_answer() -> None:
    echo = Echo()
    async with serving(echo) as door, client(door) as it:
        await it.send(request("POST", "/v1/a%20b?x=1", b"hello", b"X-Thing: One"))
        answer = await it.answer()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 01:00:00 GMT\r\ncontent-length: 5\r\n\r\n")
    assert answer.endswith(b"hello")
    scope = echo.scopes[0]
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("POST", "/v1/a b", b"/v1/a%20b")
    assert (scope["query_string"], scope["http_version"], scope["client"][0]) == (b"x=1", "1.1", "127.0.0.1")
    assert (b"x-thing", b"One") in scope["headers"]


async def test_every_answer_states_the_date_of_its_own_time() -> None:
    async with serving(Echo()) as door, client(door) as it:
        for date in (b"Sat, 21 Nov 2026 01:00:00 GMT", b"Sat, 21 Nov 2026 01:00:01 GMT"):
            door.state.default_headers = [(b"date", date)]
            await it.send(request(body=b"hello"))
            assert b"\r\ndate: " + date + b"\r\n" in await it.answer()


async def test_an_answer_of_stated_length_leaves_in_one_piece() -> None:
    pieces = []

    class Counting(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            pieces.append(data)

    async with serving(Echo()) as door:
        transport, _ = await asyncio.get_running_loop().create_connection(Counting, "127.0.0.1", door.port)
        transport.write(request(body=b"hello"))
        await eventually(lambda: b"".join(pieces).endswith(b"hello"))
        transport.close()
    assert len(pieces) == 1


async def test_an_aborted_answer_without_a_body_shows_its_head() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        connection_of(scope).abort()

    async with serving(app) as door:
        answer = await ask(door, request("GET", "/"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"content-length: 9\r\n\r\n")


async def test_a_connection_serves_one_request_after_another() -> None:
    async with serving(Echo()) as door, client(door) as it:
        for body in (b"one", b"two", b"three"):
            await it.send(request(body=body))
            assert (await it.answer()).endswith(b"\r\n\r\n" + body)


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving(Echo()) as door, client(door) as it:
        for byte in request(body=b"slowly"):
            await it.send(bytes([byte]))
        assert (await it.answer()).endswith(b"slowly")


async def test_chunks_are_put_together_and_their_trailers_are_not_headers() -> None:
    echo = Echo()
    async with serving(echo) as door, client(door) as it:
        await it.send(
            b"POST / HTTP/1.1\r\n"
            + HOST
            + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nEvil: yes\r\n\r\n"
        )
        assert (await it.answer()).endswith(b"abcde")
    assert b"evil" not in dict(echo.scopes[0]["headers"])


async def test_an_upgrade_is_ignored_and_its_body_is_not_lost() -> None:
    upgrade = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    async with serving(Echo()) as door, client(door) as it:
        await it.send(request("POST", "/", b"body", *upgrade))
        assert (await it.answer()).endswith(b"body")
        head, body = request("POST", "/", b"late body", *upgrade).split(b"\r\n\r\n")
        await it.send(head + b"\r\n\r\n" + body[:4])
        await it.send(body[4:])
        assert (await it.answer()).endswith(b"late body")
        await it.send(request("GET", "/", b"", *upgrade))
        assert b"200 OK" in await it.answer()


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on() -> None:
    async with serving(Echo()) as door, client(door) as it:
        head, body = request("POST", "/", b"body", b"Expect: 100-continue").split(b"\r\n\r\n")
        await it.send(head + b"\r\n\r\n")
        assert await it.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await it.send(body)
        assert (await it.answer()).endswith(b"body")


# What is refused.

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


async def test_a_broken_body_ends_the_request_and_tells_the_application() -> None:
    seen = []

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            seen.append(message["body"])
        seen.append(message["type"])

    async with serving(app) as door, client(door) as it:
        await it.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await eventually(lambda: seen == [b"abc"])
        await it.send(b"zz\r\n")
        assert (await it.rest()).startswith(b"HTTP/1.1 400 ")
    assert seen == [b"abc", "http.disconnect"]


# One request at a time.


@pytest.mark.parametrize("together", [True, False], ids=["in one segment", "in two"])
async def test_a_pipelined_request_is_not_run_and_the_answer_is_the_last(together: bool) -> None:  # noqa: FBT001 -- a case
    paths = []
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        body = await read_body(receive)
        await proceed.wait()
        await reply(send, body)

    second = request("POST", "/second", b"two") * 3
    async with serving(app) as door, client(door) as it:
        first = request("POST", "/first", b"one")
        if together:
            await it.send(first + second)
            await eventually(lambda: paths)
        else:
            await it.send(first)
            await eventually(lambda: paths)
            await it.send(second)
        proceed.set()
        answer = await it.rest()
    assert answer.endswith(b"one")
    assert answer.count(b"HTTP/1.1") == 1
    assert paths == ["/first"]


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
async def test_a_pipelined_request_does_not_hide_a_departure(reset: bool) -> None:  # noqa: FBT001 -- a case
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        connection_of(scope).watch(gone.set)
        await read_body(receive)
        await asyncio.Event().wait()

    async with serving(app) as door, client(door) as it:
        await it.send(request(body=b"one") + request(body=b"x" * 300_000) * 4)
        it.leave(reset=reset)
        await gone.wait()
