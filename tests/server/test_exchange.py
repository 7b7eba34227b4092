"""What an application sends and what its client gets; who is told of a departure."""

import asyncio

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.server.exchange import Exchange
from tests.server.door import Client, ask, client, connection_of, eventually, read_body, reply, request, serving
from tests.server.paper import Paper

pytestmark = pytest.mark.anyio


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


async def test_writing_to_a_client_that_left_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    finished = asyncio.Event()
    begun: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        connection = connection_of(scope)
        assert isinstance(connection, Exchange)
        try:
            await reply(send, b"to nobody")
        finally:
            begun.append(connection.started)
            finished.set()

    async with serving(app) as door, client(door) as it:
        await it.send(request(body=b"b"))
        it.leave()
        await finished.wait()
        await eventually(lambda: not door.state.connections)
    assert begun == [False]
    assert caplog.records == []


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


async def test_an_application_that_fails_before_its_answer_leaves_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_: Scope, __: Receive, ___: Send) -> None:
        raise ValueError("prompt of a client")

    async with serving(app) as door:
        answer = await ask(door, request("GET", "/"))
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b'"code":"internal_error"' in answer
    assert b"prompt" not in answer
    assert [record.message for record in caplog.records] == ["application_failed"]


@pytest.mark.parametrize("fails", [True, False], ids=["raises", "returns"])
async def test_an_application_that_stops_in_mid_answer_leaves_an_incomplete_one(
    fails: bool,  # noqa: FBT001 -- a case
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a part", "more_body": True})
        if fails:
            raise ValueError

    async with serving(app) as door:
        assert (await ask(door, request("GET", "/"))).endswith(b"\r\n\r\n6\r\na part\r\n")
    assert [record.message for record in caplog.records] == ["application_failed" if fails else "answer_not_completed"]


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


def test_a_body_that_came_with_its_head_waits_until_it_is_taken() -> None:
    exchange = Exchange(Paper(), more_body=False, parts=[b"body"], waiting=4)
    assert (exchange.waiting, exchange.more_body) == (4, False)
    assert exchange.take_body() == b"body"
    assert exchange.waiting == 0


# Framing.


@pytest.mark.parametrize("asked", [b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n"])
@pytest.mark.parametrize("way", ["whole", "of stated length", "streamed"])
async def test_http_1_0_gets_no_chunks_and_the_end_of_its_connection(way: str, asked: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        if way == "whole":
            connection_of(scope).answer(200, [], body)
        elif way == "of stated length":
            await reply(send, body)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for byte in body:
                connection_of(scope).push(bytes([byte]))
            await send({"type": "http.response.body", "body": b""})

    async with serving(app) as door, client(door) as it:
        await it.send(b"POST / HTTP/1.0\r\n" + asked + b"Content-Length: 5\r\n\r\nwhole")
        head = await it.until(b"\r\n\r\n")
        assert await it.rest() == b"whole"
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"connection: close\r\n\r\n")
    assert (b"content-length: 5" in head) is (way != "streamed")
    assert b"transfer-encoding" not in head


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
