"""Clients that take little or nothing of their answers: who waits for whom, for how long, and what is held."""

import asyncio
import socket
import tracemalloc
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.server import connection as connection_module
from gateway.server.usual import UsualRequests
from tests.server.door import (
    PATIENCE_SECS,
    Door,
    Echo,
    client,
    connection_of,
    eventually,
    reply,
    request,
    serving,
    turns,
)
from tests.server.visit import Visit

pytestmark = pytest.mark.anyio

HOST = b"Host: gateway.test\r\n"


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


async def test_the_kernel_takes_little_for_a_client_that_does_not_read() -> None:
    loop = asyncio.get_running_loop()
    written = 0

    async def app(_: Scope, __: Receive, send: Send) -> None:
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
            written += 16384

    async with serving(app) as door:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            reader.connect(("127.0.0.1", door.port))
            reader.settimeout(0)
            await loop.sock_sendall(reader, request("GET", "/"))
            taken = 0
            while taken < 8_000_000:  # as long as it reads, its connection grows fast
                taken += len(await loop.sock_recv(reader, 65536))
            before = -1
            while written != before:  # until nothing moves any more
                before = written
                await asyncio.sleep(0.1)  # noqa: TID251 -- what must not happen has no event
    assert written - taken < 1_000_000  # 0.3 MB; 3 to 4 MB without TCP_NOTSENT_LOWAT


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
        assert await asyncio.wait_for(written.wait(), PATIENCE_SECS)
        await eventually(lambda: not door.state.connections)


async def test_dropping_what_was_taken_keeps_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Echo()(scope, receive, send)
        connection_of(scope).abort()

    async with serving(app) as door, client(door) as it:
        for body in (b"one", b"two"):
            await it.send(request(body=body))
            assert (await it.answer()).endswith(body)


# Those who never read.

LARGE = 8 * 1024 * 1024
"""More than the kernels of both sides hold."""


async def deaf(door: Door, data: bytes, receive_buffer: int = 4096) -> socket.socket:
    """A client that sends and does not read by itself."""
    loop = asyncio.get_running_loop()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    reader.settimeout(0)
    await loop.sock_connect(reader, ("127.0.0.1", door.port))
    await loop.sock_sendall(reader, data)
    return reader


def untaken(door: Door) -> list[int]:
    """What waits for each of the clients."""
    connections: set[Any] = door.state.connections
    return [connection.untaken() for connection in connections]


async def endless(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


@pytest.mark.parametrize("kind", ["answering", "answered", "answered as the last", "idle", "lingering", "draining"])
async def test_a_client_that_takes_nothing_is_reset_in_every_phase(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LINGER_SECS", 1000.0)
    monkeypatch.setattr(connection_module, "LAST_IDLE_SECS", 0.0)
    answered = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        if kind == "answering":
            await endless(send)
        sending = asyncio.ensure_future(reply(send, bytes(LARGE)))
        await asyncio.wait([sending], timeout=0.01)
        answered.set()
        await asyncio.wait([sending])

    fields = [b"Connection: close"] if kind == "answered as the last" else []
    if kind == "lingering":
        fields = [b"Content-Length: 9"]  # an early answer: the body never comes
    keepalive = 0.01 if kind == "idle" else 75.0
    async with serving(app, write_timeout=0.3, keepalive=keepalive) as door:
        with await deaf(door, request("POST", "/", b"", *fields)) as reader:
            await eventually(lambda: door.state.connections)
            if kind == "draining":
                await answered.wait()
                for connection in list(door.state.connections):
                    connection.shutdown()
            await eventually(lambda: not door.state.connections)
            assert reset(reader)


def reset(reader: socket.socket) -> bool:
    """Whether the socket ends in a reset, which leaves nothing in the kernel of its server."""
    try:
        while reader.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


async def test_a_slow_but_steady_reader_gets_all_of_its_answer() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, bytes(LARGE))

    async with serving(app, write_timeout=0.4) as door:
        began = asyncio.get_running_loop().time()
        with await deaf(door, request("GET", "/", b"", b"Connection: close"), 262144) as reader:
            size = 0
            while part := await asyncio.get_running_loop().sock_recv(reader, LARGE // 32):
                size += len(part)
                if size < LARGE * 3 // 4:
                    await asyncio.sleep(0.03)  # noqa: TID251 -- it is slow: that is the case
        assert size > LARGE
        assert asyncio.get_running_loop().time() - began > 0.5  # or it was not slow enough to tell


async def test_a_reader_that_takes_less_than_our_kernel_asks_for_at_a_time_is_steady_too() -> None:
    """Ours asks for more when half of what it may hold has gone, 64 KB: at 1 KB a second once a minute."""
    loop = asyncio.get_running_loop()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, bytes(LARGE))

    async with serving(app, write_timeout=0.5) as door:
        with await deaf(door, request("GET", "/", b"", b"Connection: close")) as reader:
            await eventually(lambda: max(untaken(door), default=0) > 65536)
            before, size, began = untaken(door), 0, loop.time()
            while loop.time() < began + 1.5:
                size += len(await loop.sock_recv(reader, 512))
                await asyncio.sleep(0.02)  # noqa: TID251 -- it is slow: that is the case
            assert untaken(door) == before
            while part := await loop.sock_recv(reader, LARGE):
                size += len(part)
        assert size > LARGE


async def test_a_client_known_not_to_read_is_not_waited_for() -> None:
    told: list[str] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        connection_of(scope).watch(lambda: told.append("gone"))
        sending = asyncio.ensure_future(endless(send))
        await eventually(lambda: connection_of(scope).untaken() > 65536)
        sending.cancel()
        connection_of(scope).drop()
        await asyncio.Event().wait()

    async with serving(app) as door:
        with await deaf(door, request("GET", "/")) as reader:
            await eventually(lambda: door.state.connections)
            await eventually(lambda: not door.state.connections)
            assert reset(reader)
    assert told == []


async def test_dropping_a_client_that_took_all_leaves_its_answer_incomplete_or_its_connection_alone() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        if scope["path"] == "/complete":
            await reply(send, b"whole")
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a part", "more_body": True})
            await eventually(lambda: not connection_of(scope).untaken())
        connection_of(scope).drop()

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/complete"))
        await it.answer()
        await it.send(request("GET", "/incomplete"))
        assert (await it.rest()).endswith(b"\r\n\r\n6\r\na part\r\n")


async def test_a_request_behind_an_answer_that_is_not_taken_is_not_run_and_that_answer_is_the_last() -> None:
    loop = asyncio.get_running_loop()
    paths = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await reply(send, bytes(LARGE))

    async with serving(app) as door:
        with await deaf(door, request("GET", "/first")) as reader:
            await eventually(lambda: max(untaken(door), default=0) > 65536)
            for _ in range(2):
                await loop.sock_sendall(reader, request("GET", "/behind"))
                await turns()
            size = 0
            async with asyncio.timeout(PATIENCE_SECS):
                while part := await loop.sock_recv(reader, LARGE):
                    size += len(part)
            await eventually(lambda: not door.state.tasks)
    assert paths == ["/first"]
    assert LARGE < size < LARGE + 1000


async def test_all_who_wait_for_the_client_are_woken_though_one_of_them_is_cancelled() -> None:
    woken: list[object] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(reply(send, bytes(LARGE)))
        waiting = [asyncio.ensure_future(connection_of(scope).room()) for _ in range(3)]
        await eventually(lambda: connection_of(scope).untaken() > 65536)
        waiting[1].cancel()
        woken.extend(await asyncio.gather(sending, *waiting, return_exceptions=True))

    async with serving(app) as door, client(door) as it:
        it.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport can
        await it.send(request("GET", "/"))
        await eventually(lambda: max(untaken(door), default=0) > 65536)
        it.writer.transport.resume_reading()  # type: ignore[attr-defined]  # see above
        await it.answer()
        await eventually(lambda: woken)
    assert [type(each) for each in woken] == [type(None), type(None), asyncio.CancelledError, type(None)]


async def test_a_client_that_takes_each_large_answer_keeps_its_connection_until_it_is_idle() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, bytes(LARGE))

    async with serving(app, keepalive=0.3) as door, client(door) as it:
        for _ in range(3):
            await it.send(request("GET", "/"))
            assert len(await it.answer()) > LARGE
        assert await it.rest() == b""


async def test_a_request_that_comes_before_the_transport_says_that_all_was_taken_is_run() -> None:
    visit = Visit(UsualRequests(65536))
    visit.protocol.pause_writing()  # as uvloop's, which tells of a write that the kernel took later in its turn
    await visit.send(request(body=b"one"), request(body=b"two"))
    assert visit.bodies == [b"one", b"two"]
    visit.protocol.connection_lost(None)


async def test_half_a_departure_is_one_though_much_was_not_taken() -> None:
    gone = asyncio.Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        connection_of(scope).watch(gone.set)
        await endless(send)

    async with serving(app) as door:
        with await deaf(door, request("GET", "/")) as reader:
            await eventually(lambda: max(untaken(door), default=0) > 65536)
            reader.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(PATIENCE_SECS):
                assert await gone.wait()


async def test_a_large_answer_is_not_copied_for_each_that_does_not_take_it() -> None:
    body = bytes(LARGE)

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, body)

    async with serving(app) as door, AsyncExitStack() as stack:
        tracemalloc.start()
        try:
            for _ in range(4):
                stack.enter_context(await deaf(door, request("GET", "/")))
            await eventually(lambda: sum(size > LARGE // 4 for size in untaken(door)) == 4)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert held < LARGE
