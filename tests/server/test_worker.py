"""A worker's beginning and end: how it takes connections, and for whom it waits."""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from gateway.core.asgi import Receive, Scope, Send
from gateway.core.worker import WorkerIdentity
from gateway.server import worker
from gateway.server.accepting import BATCH
from gateway.server.channel import report_failure, report_ready
from gateway.server.lifespan import Lifespan
from gateway.server.listening import listen
from gateway.server.serving import Serving
from gateway.server.worker import GC_ALLOCATIONS, WorkerServer, listen_to, settle_memory
from tests.server.door import PATIENCE_SECS, eventually, turns

pytestmark = pytest.mark.anyio


class Connection(asyncio.Protocol):
    """As much of a connection as a server asks for: it closes when it is told of a drain."""

    def __init__(self, state: Serving) -> None:
        self.connections: set[Any] = state.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.connections.discard(self)

    def shutdown(self) -> None:
        self.transport.close()

    def retire(self) -> None:
        self.transport.close()


async def living(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that holds nothing."""
    del scope
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()


def server_of(make: Callable[..., asyncio.Protocol]) -> WorkerServer:
    return WorkerServer(Lifespan(living), make, WorkerIdentity(), drain_secs=30.0)


async def test_a_worker_takes_a_batch_of_connections_in_a_round() -> None:
    made: list[Connection] = []

    def make(server_state: Serving, **_: object) -> Connection:
        made.append(Connection(server_state))
        return made[-1]

    server = server_of(make)
    with listen("127.0.0.1", 0) as listener, ExitStack() as clients:
        for _ in range(BATCH):
            clients.enter_context(socket.create_connection(listener.getsockname()))
        await server.startup(listener)
        async with asyncio.timeout(10):
            while not made:
                await turns(1)
        assert len(made) == BATCH
        await asyncio.wait_for(server.shutdown(), 10)


async def test_a_connection_that_was_taken_just_before_a_drain_is_told_of_it() -> None:
    drains: list[asyncio.Task[None]] = []

    def make(server_state: Serving, **_: object) -> Connection:
        drains.append(asyncio.create_task(server.shutdown()))  # runs before the connection is made
        return Connection(server_state)

    server = server_of(make)
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    with socket.create_connection(address) as client:
        await server.startup(listener)
        client.settimeout(0)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 10) == b""
        await asyncio.wait_for(drains[0], 10)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


async def test_a_connection_that_was_taken_just_before_a_retirement_is_told_of_it_and_the_port_is_let_go() -> None:
    def make(server_state: Serving, **_: object) -> Connection:
        server.retire()  # before the connection is made
        return Connection(server_state)

    server = server_of(make)
    listener = listen("127.0.0.1", 0)
    with socket.create_connection(listener.getsockname()) as client:
        await server.startup(listener)
        client.settimeout(0)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 10) == b""
    assert listener.fileno() == -1
    async with asyncio.timeout(10):
        while not server.should_exit:
            await turns(1)
    await asyncio.wait_for(server.shutdown(), 10)


async def test_a_stop_is_told_to_the_application_and_to_every_connection_at_once() -> None:
    made: list[Connection] = []

    def make(server_state: Serving, **_: object) -> Connection:
        made.append(Connection(server_state))
        return made[-1]

    server = server_of(make)
    listener = listen("127.0.0.1", 0)
    with socket.create_connection(listener.getsockname()):
        await server.startup(listener)
        async with asyncio.timeout(10):
            while not server.serving.connections:
                await turns(1)
        server.stop()
        assert (server._worker.drain.draining, made[0].transport.is_closing()) == (True, True)
        await asyncio.wait_for(server.shutdown(), 10)


async def test_a_stop_is_begun_once_however_often_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = server_of(Connection)
    await server.startup(listen("127.0.0.1", 0))
    server.stop()
    server.stop()
    await asyncio.wait_for(server.shutdown(), 10)
    assert [record.message for record in caplog.records] == ["worker_drain_began"]


async def test_a_retirement_is_begun_once_and_not_behind_a_stop() -> None:
    server = server_of(Connection)
    await server.startup(listen("127.0.0.1", 0))
    server.retire()
    retirement = server._retirement
    server.retire()
    assert server._retirement is retirement
    async with asyncio.timeout(10):
        while not server.should_exit:
            await turns(1)
    await asyncio.wait_for(server.shutdown(), 10)

    stopped = server_of(Connection)
    await stopped.startup(listen("127.0.0.1", 0))
    await asyncio.wait_for(stopped.shutdown(), 10)
    stopped.retire()  # its socket is closed, and cannot be looked away from any more
    assert stopped._retirement is None


async def test_answers_bear_the_date_of_their_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "DATE_SECS", 0.01)
    server = server_of(Connection)
    await server.startup(listen("127.0.0.1", 0))
    for _ in range(3):
        before = server.serving.default_headers
        assert [name for name, _ in before] == [b"date"]
        await eventually(lambda: server.serving.default_headers is not before)  # noqa: B023 -- called in this round
    await asyncio.wait_for(server.shutdown(), 10)


@pytest.mark.parametrize("word", ["stop", "retire"])
async def test_a_start_that_hangs_ends_when_it_is_told_to(word: str) -> None:
    hung, closed = asyncio.Event(), asyncio.Event()

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        await receive()
        hung.set()
        try:
            await receive()
        finally:
            closed.set()

    server = WorkerServer(Lifespan(app), Connection, WorkerIdentity(), drain_secs=3600.0)
    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server.serve(listener))
        await hung.wait()
        getattr(server, word)()
        await asyncio.wait_for(serving, 10)
    assert closed.is_set()


async def test_without_its_application_a_worker_stops(caplog: pytest.LogCaptureFixture) -> None:
    lost = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await lost.wait()
        raise OSError("the store has gone")

    server = WorkerServer(Lifespan(app), Connection, WorkerIdentity(), drain_secs=3600.0)
    serving = asyncio.create_task(server.serve(listen("127.0.0.1", 0)))
    lost.set()
    with pytest.raises(OSError, match="the store has gone"):
        await asyncio.wait_for(serving, 10)
    (record,) = [record for record in caplog.records if record.message == "application_failed"]
    assert record.exc_info is not None


async def test_a_request_that_heeds_no_farewell_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FAREWELL_SECS", 0.01)
    server = server_of(Connection)
    server._drain_secs = 0.0
    farewells: list[bool] = []
    server._worker.drain.on_deadline(lambda: farewells.append(True))
    request = asyncio.create_task(asyncio.Event().wait())
    server.serving.tasks.add(request)  # type: ignore[arg-type]  # a wait returns True
    await asyncio.wait_for(server.shutdown(), 10)
    assert (farewells, request.cancelled()) == ([True], True)


async def test_a_worker_that_is_told_to_end_while_it_starts_takes_nobody() -> None:
    server = server_of(lambda **_: pytest.fail("it was taken"))
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        server.stop()
        await server.startup(listener)
        await turns(10)
        await asyncio.wait_for(server.shutdown(), 10)
        assert not server.serving.connections


async def test_a_worker_that_is_to_retire_while_it_starts_takes_nobody() -> None:
    server = server_of(lambda **_: pytest.fail("it was taken"))
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        server.retire()
        await server.startup(listener)
        assert server._acceptors == []
        async with asyncio.timeout(10):
            while not server.should_exit:
                await turns(1)
        await asyncio.wait_for(server.shutdown(), 10)


async def test_a_request_cancelled_before_it_began_holds_up_no_drain() -> None:
    server = server_of(Connection)
    request = asyncio.create_task(asyncio.Event().wait())
    request.cancel()  # before its first step: nothing of it runs that could strike it from the set
    await asyncio.wait([request])
    server.serving.tasks.add(request)  # type: ignore[arg-type]  # a wait returns True
    async with asyncio.timeout(PATIENCE_SECS) as within:
        await server.shutdown()
    assert not within.expired()


async def test_the_end_of_a_supervisor_which_stays_readable_is_heard_once(caplog: pytest.LogCaptureFixture) -> None:
    server = server_of(Connection)
    ours, theirs = socket.socketpair()
    with ours:
        listen_to(ours, server)
        theirs.close()
        async with asyncio.timeout(10):
            while not server.should_exit:
                await turns(1)
        await turns(10)
    assert [record.message for record in caplog.records].count("supervisor_died") == 1


async def test_a_supervisor_that_died_before_it_had_read_our_word_has_died() -> None:
    server = server_of(Connection)
    ours, theirs = socket.socketpair()
    with ours:
        report_ready(ours)
        listen_to(ours, server)
        theirs.close()  # with a word unread, which the kernel tells as a reset
        async with asyncio.timeout(10):
            while not server.should_exit:
                await turns(1)
        report_ready(ours)
        report_failure(ours, "nobody is there to be told")
        assert server.should_exit


def test_what_the_start_has_built_is_out_of_the_collectors_sight() -> None:
    before = gc.get_threshold()
    try:
        settle_memory()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == GC_ALLOCATIONS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
