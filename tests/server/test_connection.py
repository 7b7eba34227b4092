"""How long a client's connection lives: time-outs, slow senders, the drain."""

import asyncio
import socket
from typing import Any

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.server import connection as connection_module
from tests.server.door import (
    Echo,
    ask,
    client,
    eventually,
    read_body,
    reply,
    request,
    serving,
)

pytestmark = pytest.mark.anyio

HOST = b"Host: gateway.test\r\n"


# What takes too long.


async def test_a_client_that_sends_nothing_is_disconnected() -> None:
    async with serving(Echo(), header_timeout=0.05) as door:
        assert await ask(door, b"") == b""


async def test_half_a_head_is_answered_408_when_its_time_is_over() -> None:
    async with serving(Echo(), header_timeout=0.05) as door:
        answer = await ask(door, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close\r\n" in answer


async def test_a_later_head_has_its_time_too() -> None:
    async with serving(Echo(), header_timeout=0.05) as door, client(door) as it:
        await it.send(request(body=b"one"))
        await it.answer()
        await it.send(b"POST / HT")
        assert b" 408 " in await it.rest()


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


# Those who are slow to send.


async def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        await reply(send, b"too large", status=413)

    async with serving(app) as door, client(door) as it:
        it.writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 50000000\r\n\r\n" + b"x" * 5_000_000)
        answer = await it.rest()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"too large")


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


async def test_a_head_that_has_begun_is_no_idleness() -> None:
    async with serving(Echo(), keepalive=0.05) as door, client(door) as it:
        await it.send(request(body=b"one"))
        await it.answer()
        second = request(body=b"two")
        await it.send(second[:9])
        await asyncio.sleep(0.1)  # noqa: TID251 -- longer than an idle connection lives: this one is not idle
        await it.send(second[9:])
        assert (await it.answer()).endswith(b"two")


async def test_a_refused_client_that_never_closes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LINGER_SECS", 0.05)
    async with serving(Echo()) as door, client(door) as it:
        await it.send(b"no HTTP at all\r\n\r\n")
        assert b" 400 " in await it.until(b"}}")
        await eventually(lambda: not door.state.connections)


async def test_what_is_written_is_counted_whether_it_ends_an_answer_or_not() -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        await reply(send, bytes(70_000), stated=scope["path"] == "/stated")

    async with serving(app) as door, client(door) as it:
        await it.send(request("GET", "/stated"))
        size = len(await it.answer())
        await it.send(request("GET", "/chunked"))
        size += len(await it.until(b"0\r\n\r\n"))
        connection: Any = next(iter(door.state.connections))
        assert (connection.written, connection.untaken()) == (size, 0)


async def test_what_is_written_leaves_without_waiting_for_an_acknowledgement() -> None:
    async with serving(Echo()) as door, client(door) as it:
        await it.send(request(body=b"one"))
        await it.answer()
        connection: Any = next(iter(door.state.connections))
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


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
