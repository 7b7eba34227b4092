"""Tests of the client's connection, with bytes on real sockets."""

import asyncio

import pytest

from gateway.core.asgi import Receive, Scope, Send
from tests.server.door import (
    Client,
    Echo,
    ask,
    client,
    connection_of,
    eventually,
    read_body,
    reply,
    request,
    serving,
)

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


# What takes too long.


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "], ids=["silence", "half a head"])
async def test_a_head_that_does_not_come_in_time_ends_the_connection(start: bytes) -> None:
    async with serving(Echo(), header_timeout=0.05) as door:
        assert await ask(door, start) == b""


async def test_a_later_head_has_its_time_too() -> None:
    async with serving(Echo(), header_timeout=0.05) as door, client(door) as it:
        await it.send(request(body=b"one"))
        await it.answer()
        await it.send(b"POST / HT")
        assert await it.rest() == b""


async def test_the_time_of_a_head_is_not_the_time_of_a_body() -> None:
    started = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        started.set()
        await reply(send, await read_body(receive))

    async with serving(app, header_timeout=0.05) as door, client(door) as it:
        head, body = request(body=b"in its own time").split(b"\r\n\r\n")
        await it.send(head + b"\r\n\r\n")
        await started.wait()
        await asyncio.sleep(0.1)  # noqa: TID251 -- longer than a head may take: what must not happen has no event
        await it.send(body)
        assert (await it.answer()).endswith(b"in its own time")


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with serving(Echo(), keepalive=0.05) as door, client(door) as it:
        await it.send(request(body=b"one"))
        await it.answer()
        assert await it.rest() == b""


async def test_idleness_is_counted_from_the_last_answer() -> None:
    proceed = asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await proceed.wait()
        await reply(send, b"done")

    async with serving(app, keepalive=0.05) as door, client(door) as it:
        await it.send(request("GET", "/"))
        await it.answer()
        await it.send(request("GET", "/wait"))
        await asyncio.sleep(0.1)  # noqa: TID251 -- longer than an idle connection lives: this one is not idle
        proceed.set()
        assert (await it.answer()).endswith(b"done")
        assert await it.rest() == b""


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


# Departures.


async def hold(it: Client, phase: str) -> None:
    """Bring a request of the `Held` application into a phase."""
    head, body = request(body=b"b" * 100_000).split(b"\r\n\r\n")
    await it.send(head + b"\r\n\r\n" + body[: 50_000 if phase == "body" else None])
    if phase == "answering":
        await it.until(b"first part")


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("phase", ["body", "waiting", "answering"])
async def test_a_departure_is_told_at_once_in_every_phase(phase: str, reset: bool) -> None:  # noqa: FBT001 -- a case
    reached = asyncio.Event()
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection_of(scope).watch(gone.set)
        if phase == "body":
            await receive()
        else:
            await read_body(receive)
        if phase == "answering":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first part", "more_body": True})
        reached.set()
        await asyncio.Event().wait()

    async with serving(app) as door, client(door) as it:
        await hold(it, phase)
        await reached.wait()
        assert not gone.is_set()
        it.leave(reset=reset)
        await gone.wait()


async def test_a_departure_is_told_to_a_late_watcher_too_but_not_inside_watch() -> None:
    told: list[str] = []
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        connection_of(scope).watch(lambda: told.append("gone"))
        told.append("watching")
        done.set()

    async with serving(app) as door, client(door) as it:
        await it.send(request(body=b"b"))
        it.leave()
        await done.wait()
        await eventually(lambda: len(told) == 2)
    assert told == ["watching", "gone"]


async def test_nobody_is_told_after_unwatch_nor_after_a_complete_answer() -> None:
    told: list[str] = []
    finished = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)
        connection.watch(lambda: told.append(scope["path"]))
        if scope["path"] == "/unwatched":
            connection.unwatch()
            while (await receive())["type"] != "http.disconnect":
                pass
            finished.set()
        else:
            await reply(send, b"done")

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/complete"))
        await it.answer()
        await it.send(request("GET", "/unwatched"))
        await eventually(lambda: door.state.tasks)
        it.leave()
        await finished.wait()
        await eventually(lambda: not door.state.connections)
    assert told == []


async def test_writing_to_a_client_that_left_does_nothing() -> None:
    finished = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await reply(send, b"to nobody")
        finished.set()

    async with serving(app) as door, client(door) as it:
        await it.send(request(body=b"b"))
        it.leave()
        await finished.wait()


# Ends that are no ends.


@pytest.mark.parametrize("stated", [False, True], ids=["chunked", "of stated length"])
async def test_an_aborted_answer_is_seen_as_incomplete(stated: bool) -> None:  # noqa: FBT001 -- a case
    told: list[str] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        connection_of(scope).watch(lambda: told.append("gone"))
        headers = [(b"content-length", b"100")] if stated else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})
        connection_of(scope).abort()

    async with serving(app) as door:
        answer = await ask(door, request("GET", "/"))
        await eventually(lambda: not door.state.tasks)
    head, body = answer.split(b"\r\n\r\n", 1)
    assert body == (b"a part" if stated else b"6\r\na part\r\n")
    assert (b"transfer-encoding: chunked" in head) is not stated
    assert told == []


async def test_an_aborted_answer_of_unstated_length_ends_in_a_reset() -> None:
    arrived = asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})
        await arrived.wait()
        connection_of(scope).abort()

    async with serving(app) as door, client(door) as it:
        await it.send(b"GET / HTTP/1.0\r\n\r\n")
        await it.until(b"a part")
        arrived.set()
        with pytest.raises(ConnectionResetError):
            await it.rest()


async def test_an_application_that_fails_before_its_answer_leaves_a_500() -> None:
    async def app(_: Scope, __: Receive, ___: Send) -> None:
        raise ValueError("prompt of a client")

    async with serving(app) as door:
        answer = await ask(door, request("GET", "/"))
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b'"code":"internal_error"' in answer
    assert b"prompt" not in answer


@pytest.mark.parametrize("fails", [True, False], ids=["raises", "returns"])
async def test_an_application_that_stops_in_mid_answer_leaves_an_incomplete_one(fails: bool) -> None:  # noqa: FBT001 -- a case
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})
        if fails:
            raise ValueError

    async with serving(app) as door:
        assert (await ask(door, request("GET", "/"))).endswith(b"\r\n\r\n6\r\na part\r\n")


async def test_a_line_break_in_a_header_never_reaches_the_client() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"x", b"a\r\nset-cookie: evil=1"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async with serving(app) as door:
        answer = await ask(door, request("GET", "/"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"evil" not in answer


@pytest.mark.parametrize("body", [b"short", b"much too long"])
async def test_a_body_that_is_not_as_long_as_stated_is_no_complete_answer(body: bytes) -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": body})

    async with serving(app) as door:
        answer = await ask(door, request("GET", "/"))
    assert len(answer.split(b"\r\n\r\n", 1)[1]) < 10


# Framing.


async def test_http_1_0_gets_no_chunks_and_no_second_request() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, b"whole", stated=False)

    async with serving(app) as door:
        answer = await ask(door, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"connection: close\r\n\r\nwhole")
    assert b"transfer-encoding" not in answer


async def test_head_and_204_have_no_body() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await reply(send, b"body", status=200 if scope["method"] == "HEAD" else 204, stated=scope["method"] == "HEAD")

    async with serving(app) as door:
        head = await ask(door, request("HEAD", "/", b"", b"Connection: close"))
        empty = await ask(door, request("GET", "/", b"", b"Connection: close"))
    assert b"content-length: 4\r\n" in head
    assert head.endswith(b"\r\n\r\n")
    assert empty.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert empty.endswith(b"\r\n\r\n")
    assert b"transfer-encoding" not in empty


async def test_what_the_application_says_of_framing_and_connection_is_the_servers_to_write() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"transfer-encoding", b"chunked"), (b"connection", b"keep-alive"), (b"x", b"y")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"a"})

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        answer = await it.until(b"0\r\n\r\n")
    assert answer.count(b"transfer-encoding") == 1
    assert b"connection" not in answer


async def test_every_part_leaves_when_it_is_sent() -> None:
    proceed = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await proceed.wait()
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        assert (await it.until(b"one\r\n")).endswith(b"\r\n\r\n3\r\none\r\n")
        proceed.set()
        assert await it.until(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"


# Those who are slow, and those who do not listen.


async def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, b"too large", status=413)

    async with serving(app) as door, client(door) as it:
        it.writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 50000000\r\n\r\n" + b"x" * 5_000_000)
        answer = await it.rest()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"too large")


async def test_a_slow_reader_makes_the_application_wait() -> None:
    written = 0

    async def app(_: Scope, __: Receive, send: Send) -> None:
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _i in range(4000):
            await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
            written += 16384
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1024)
        writer.write(request("GET", "/"))
        await reader.readexactly(1)
        before = -1
        while written != before:  # until nothing moves any more
            before = written
            await asyncio.sleep(0.1)  # noqa: TID251 -- what must not happen has no event
        assert written < 16_000_000
        total = 0
        while b"\r\n0\r\n\r\n" not in (data := await reader.read(1 << 20)):
            total += len(data)
        assert total > 4000 * 16384 - 100_000
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_sends_more_than_is_read_is_made_to_wait() -> None:
    proceed = asyncio.Event()
    lengths = []

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await proceed.wait()
        body = b""
        while True:
            message = await receive()
            lengths.append(len(message["body"]))
            body += message["body"]
            if not message["more_body"]:
                break
        await reply(send, b"%d" % len(body))

    async with serving(app) as door, client(door) as it:
        it.writer.write(request(body=b"x" * 30_000_000))
        await eventually(lambda: door.state.tasks)
        proceed.set()
        assert (await it.answer()).endswith(b"\r\n\r\n30000000")
    assert max(lengths) <= 65536 + 262144


async def test_an_answer_that_a_client_does_not_take_does_not_outlive_it() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        await it.until(b"\r\n\r\n")
        it.leave(reset=True)
        await eventually(lambda: not door.state.connections)
        for task in door.state.tasks:
            task.cancel()
        await eventually(lambda: not door.state.tasks)
        assert not door.state.connections


async def test_a_complete_answer_that_a_client_does_not_take_can_be_dropped() -> None:
    written = asyncio.Event()
    size = 64 * 1024 * 1024  # more than a kernel holds for a reader that does not read

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        length = (b"content-length", b"%d" % size)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        sending = asyncio.ensure_future(send({"type": "http.response.body", "body": bytes(size)}))
        await asyncio.wait([sending], timeout=0.01)
        connection_of(scope).abort()
        await sending
        written.set()

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        await asyncio.wait_for(written.wait(), 5)
        await eventually(lambda: not door.state.connections)


async def test_dropping_what_was_taken_keeps_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Echo()(scope, receive, send)
        connection_of(scope).abort()

    async with serving(app) as door, client(door) as it:
        for body in (b"one", b"two"):
            await it.send(request(body=body))
            assert (await it.answer()).endswith(body)


# The drain.


async def test_a_drain_lets_the_running_answer_finish_as_the_last() -> None:
    proceed = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await proceed.wait()
        await reply(send, b"done")

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        await eventually(lambda: door.state.tasks)
        for connection in list(door.state.connections):
            connection.shutdown()
        proceed.set()
        answer = await it.rest()
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"done")


async def test_a_drain_answers_a_request_that_was_on_its_way_and_then_closes() -> None:
    async with serving(Echo()) as door, client(door) as it, client(door) as idle:
        for each in (it, idle):
            await each.send(request(body=b"one"))
            await each.answer()
        for connection in list(door.state.connections):
            connection.shutdown()
        await it.send(request(body=b"two"))
        answer = await it.rest()
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b"two")
        assert await idle.rest() == b""
