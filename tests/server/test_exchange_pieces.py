"""An answer that goes to the client piece by piece, without messages."""

import asyncio

import pytest

from gateway.core.asgi import Receive, Scope, Send
from tests.server.door import ask, client, connection_of, eventually, receive_until_gone, reply, request, serving

pytestmark = pytest.mark.anyio


async def test_a_pushed_piece_leaves_at_once_and_tells_of_room() -> None:
    rooms: list[bool] = []

    async def app(scope: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        connection = connection_of(scope)
        rooms.append(connection.push(b"one"))
        await connection.room()
        rooms.append(connection.push(b"two"))
        await send({"type": "http.response.body", "body": b"three"})
        with pytest.raises(RuntimeError):
            connection.push(b"behind the end")

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        answer = await it.until(b"0\r\n\r\n")
    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n")
    assert rooms == [True, True]


async def test_a_piece_pushed_before_the_head_is_refused() -> None:
    refused = asyncio.Event()

    async def app(scope: Scope, __: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError):
            connection_of(scope).push(b"one")
        refused.set()
        await reply(send, b"")

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        await refused.wait()


async def test_a_client_that_left_has_no_room_and_keeps_nobody_from_being_cancelled() -> None:
    turns = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal turns
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        connection = connection_of(scope)
        while not connection.push(b"to nobody"):
            turns += 1
            await connection.room()

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        it.leave()
        await eventually(lambda: turns > 3)
    assert turns > 3


async def test_a_slow_reader_leaves_no_room() -> None:
    pushed = 0
    full = asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        nonlocal pushed
        await send({"type": "http.response.start", "status": 200, "headers": []})
        connection = connection_of(scope)
        while connection.push(b"x" * 16384):
            pushed += 16384
        full.set()
        await connection.room()
        await send({"type": "http.response.body", "body": b"the end"})

    async with serving(app) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1024)
        writer.write(request("GET", "/"))
        await full.wait()
        assert pushed < 16_000_000
        while b"the end" not in await reader.read(1 << 20):
            pass
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_pieces_of_any_size_are_framed_as_the_version_wants(version: str) -> None:
    sizes = [1, 15, 16, 4095, 4096, 70_000]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for size in [0, *sizes]:
            connection_of(scope).push(b"x" * size)
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/").replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
        framed = b"".join(b"%x\r\n%b\r\n" % (size, b"x" * size) for size in sizes) + b"0\r\n\r\n"
        body = framed if version == "1.1" else b"x" * sum(sizes)
        await it.until(b"\r\n\r\n")
        assert await asyncio.wait_for(it.reader.readexactly(len(body)), 10) == body


# An answer in pieces.


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_an_answer_in_pieces_is_framed_as_messages_are(version: bytes) -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        if scope["path"] == "/messages":
            await send({"type": "http.response.start", "status": 201, "headers": [(b"x", b"y")]})
            for piece in (b"one", b"two", b""):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"three"})
            return
        connection = connection_of(scope)
        assert connection.start(201, [(b"x", b"y")], b"one")
        assert connection.push(b"two")
        assert connection.push(b"")
        assert connection.finish(b"three")

    asked = b"GET %b HTTP/" + version + b"\r\nHost: g\r\nConnection: close\r\n\r\n"
    async with serving(app) as door:
        directly, by_messages = await ask(door, asked % b"/directly"), await ask(door, asked % b"/messages")
    assert directly == by_messages
    assert b"three" in directly


async def test_an_answer_in_pieces_to_head_has_none_and_is_over_at_its_end() -> None:
    async def app(scope: Scope, _: Receive, __: Send) -> None:
        connection = connection_of(scope)
        connection.start(200, [], b"one")
        connection.finish(b"two")

    async with serving(app) as door, client(door) as it:
        for _ in range(2):
            await it.send(request("HEAD", "/"))
            assert (await it.until(b"\r\n\r\n")).endswith(b"\r\n\r\n")


async def test_a_first_piece_with_a_line_break_in_its_head_has_not_begun() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError):
            connection_of(scope).start(200, [(b"x", b"a\r\nset-cookie: evil=1")], b"body")
        await reply(send, b"other", status=500)

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        assert (await it.answer()).startswith(b"HTTP/1.1 500 ")


async def test_an_answer_in_pieces_begins_once_and_ends_once() -> None:
    refused: list[str] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        connection = connection_of(scope)
        with pytest.raises(RuntimeError):
            connection.finish(b"before its head")
        connection.start(200, [], b"one")
        refused.append("an end before its head")
        with pytest.raises(RuntimeError):
            connection.start(200, [], b"two")
        refused.append("a second head")
        connection.finish(b"")
        with pytest.raises(RuntimeError):
            connection.finish(b"three")
        refused.append("a second end")

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/"))
        assert (await it.until(b"0\r\n\r\n")).endswith(b"\r\n\r\n3\r\none\r\n0\r\n\r\n")
        await eventually(lambda: not door.state.tasks)
    assert refused == ["an end before its head", "a second head", "a second end"]


async def test_pieces_for_a_client_that_left_go_nowhere_and_leave_no_room() -> None:
    rooms: list[bool] = []

    async def app(scope: Scope, receive: Receive, _: Send) -> None:
        await receive_until_gone(receive)
        connection = connection_of(scope)
        rooms.extend((connection.start(200, [], b"one"), connection.push(b"two"), connection.finish(b"three")))

    async with serving(app) as door:
        async with client(door) as it:
            await it.send(request("GET", "/"))
            await eventually(lambda: bool(door.state.tasks))
        await eventually(lambda: len(rooms) == 3)
    assert rooms == [False] * 3
