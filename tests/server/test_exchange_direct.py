"""What an application says to its client's connection without messages: whole answers, and bodies that have come."""

import asyncio

import pytest

from gateway.core.asgi import Message, Receive, Scope, Send
from tests.server.door import (
    ask,
    client,
    connection_of,
    eventually,
    read_body,
    receive_until_gone,
    reply,
    request,
    serving,
    turns,
)

pytestmark = pytest.mark.anyio


# Whole answers.


async def test_a_whole_answer_leaves_at_once_with_its_length() -> None:
    rooms: list[bool] = []
    rest: list[Message] = []

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        body = await read_body(receive)
        rooms.append(connection_of(scope).answer(201, [(b"x", b"y")], body))
        rest.append(await receive())

    for size in (0, 5, 100_000):
        async with serving(app) as door, client(door) as it:
            for _ in range(2):
                await it.send(request("POST", "/", b"b" * size))
                head, _, body = (await it.answer()).partition(b"\r\n\r\n")
                assert body == b"b" * size
                assert head.split(b"\r\n") == [
                    b"HTTP/1.1 201 Created",
                    b"date: Sat, 21 Nov 2026 01:00:00 GMT",
                    b"x: y",
                    b"content-length: %d" % size,
                ]
                await eventually(lambda: not door.state.tasks)
    assert rooms == [True] * 6
    assert rest == [{"type": "http.disconnect"}] * 6


async def test_a_whole_answer_wakes_who_waits_for_a_departure() -> None:
    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        listening = asyncio.create_task(receive_until_gone(receive))
        await asyncio.sleep(0)  # noqa: TID251 -- a turn of the loop: it waits now
        connection_of(scope).answer(200, [], b"")
        await listening

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        assert (await it.answer()).startswith(b"HTTP/1.1 200 ")
        await eventually(lambda: not door.state.tasks)


@pytest.mark.parametrize(
    ("asked", "status", "fields", "body"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n", 200, [b"content-length: 4"], b""),
        (b"GET / HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n", 200, [b"content-length: 4"], b"body"),
        (b"GET / HTTP/1.0\r\n\r\n", 200, [b"content-length: 4"], b"body"),
        (b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 9\r\n\r\nearly", 413, [b"content-length: 4"], b"body"),
    ],
    ids=["HEAD", "close", "HTTP/1.0", "early"],
)
async def test_a_whole_answer_knows_what_is_unusual(
    asked: bytes, status: int, fields: list[bytes], body: bytes
) -> None:
    async def app(scope: Scope, _: Receive, __: Send) -> None:
        connection_of(scope).answer(status, [], b"body")

    async with serving(app) as door:
        head, _, rest = (await ask(door, asked)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert head.split(b"\r\n")[2:] == [*fields, b"connection: close"]
    assert rest == body


@pytest.mark.parametrize(
    ("method", "status", "fields"), [("HEAD", 200, [b"content-length: 4"]), ("GET", 204, []), ("GET", 304, [])]
)
async def test_an_answer_without_a_body_leaves_the_connection_fit_for_the_next(
    method: str, status: int, fields: list[bytes]
) -> None:
    async def app(scope: Scope, _: Receive, __: Send) -> None:
        first = scope["path"] == "/first"
        connection_of(scope).answer(status if first else 200, [], b"body")

    async with serving(app) as door, client(door) as it:
        await it.send(request(method, "/first"))
        head = await it.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert head.split(b"\r\n")[2:-2] == fields
        await it.send(request("GET", "/second"))
        assert (await it.answer()).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("bad", [b"a\r\nset-cookie: evil=1", b"a\0"])
@pytest.mark.parametrize("more", [b"", b"Connection: close"], ids=["usual", "unusual"])
async def test_a_whole_answer_with_a_line_break_in_its_head_has_not_begun(bad: bytes, more: bytes) -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError):
            connection_of(scope).answer(200, [(b"x", bad)], b"body")
        await reply(send, b"other", status=500)

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/", b"", more or b"Accept: *"))
        answer = await it.answer()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"\r\n\r\nother")
    assert b"evil" not in answer


async def test_during_a_drain_a_whole_answer_is_the_connections_last() -> None:
    async def app(scope: Scope, _: Receive, __: Send) -> None:
        for connection in door.state.connections:
            connection.shutdown()
        connection_of(scope).answer(200, [], b"body")

    async with serving(app) as door:
        assert b"\r\nconnection: close\r\n" in await ask(door, request("GET", "/"))


async def test_there_is_one_answer_to_a_request() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        connection = connection_of(scope)
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        else:
            connection.answer(200, [], b"1")
        with pytest.raises(RuntimeError):
            connection.answer(200, [], b"2")
        with pytest.raises(RuntimeError):
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/begun":
            await send({"type": "http.response.body", "body": b"1"})

    async with serving(app) as door, client(door) as it:
        for path in ("/begun", "/complete"):
            await it.send(request("GET", path))
            assert (await it.answer()).endswith(b"\r\n\r\n1")
        await eventually(lambda: not door.state.tasks)


async def test_a_whole_answer_to_a_client_that_left_goes_nowhere_and_leaves_no_room() -> None:
    rooms: list[bool] = []

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        await receive_until_gone(receive)
        rooms.append(connection_of(scope).answer(200, [], b"to nobody"))

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        it.leave()
        await eventually(lambda: rooms)
    assert rooms == [False]


async def test_a_whole_answer_that_a_client_does_not_take_leaves_no_room_until_it_does() -> None:
    full, roomy = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        connection = connection_of(scope)
        assert not connection.answer(200, [], b"x" * 32_000_000)
        full.set()
        await connection.room()
        roomy.set()

    async with serving(app) as door, client(door) as it:
        it.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a read transport too
        await it.send(request("GET", "/"))
        await full.wait()
        assert not roomy.is_set()
        it.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        assert len((await it.answer()).partition(b"\r\n\r\n")[2]) == 32_000_000
        await roomy.wait()


# A body that has come.


async def test_a_body_that_has_come_is_taken_once_and_not_received_again() -> None:
    taken: list[bytes | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)
        taken.extend([connection.take_body(), connection.take_body()])
        await reply(send, b"")
        assert await receive() == {"type": "http.disconnect"}

    async with serving(app) as door, client(door) as it:
        for body in (b"", b"body"):
            await it.send(request("POST", "/", body))
            await it.answer()
        await it.send(
            b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
        )
        await it.answer()
    assert taken == [b"", None, b"body", None, b"body", None]


async def test_a_body_that_was_received_is_not_taken() -> None:
    taken: list[bytes | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await read_body(receive) == b"body"
        taken.append(connection_of(scope).take_body())
        await reply(send, b"")

    async with serving(app) as door, client(door) as it:
        await it.send(request("POST", "/", b"body"))
        await it.answer()
    assert taken == [None]


async def test_a_body_is_not_taken_before_its_end() -> None:
    taken: list[bytes | None] = []
    begun, came = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        taken.append(connection_of(scope).take_body())
        begun.set()
        await came.wait()
        taken.append(connection_of(scope).take_body())
        await reply(send, b"")

    async with serving(app) as door, client(door) as it:
        sent = request("POST", "/", b"body")
        await it.send(sent[:-2])
        await begun.wait()
        await it.send(sent[-2:])
        await turns()
        came.set()
        await it.answer()
    assert taken == [None, b"body"]


async def test_a_body_is_not_taken_behind_a_departure() -> None:
    taken: list[bytes | None] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        gone = asyncio.Event()
        connection_of(scope).watch(gone.set)
        await gone.wait()
        taken.append(connection_of(scope).take_body())

    async with serving(app) as door, client(door) as it:
        await it.send(request("POST", "/", b"body"))
        it.leave()
        await eventually(lambda: taken)
    assert taken == [None]


async def test_a_client_that_waits_to_be_told_is_told_before_its_body_is_read() -> None:
    taken: list[bytes | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        taken.append(connection_of(scope).take_body())
        await reply(send, await read_body(receive))

    async with serving(app) as door, client(door) as it:
        await it.send(request("POST", "/", b"body", b"Expect: 100-continue"))
        assert await it.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await it.answer()).endswith(b"body")
    assert taken == [None]
