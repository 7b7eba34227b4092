"""A protocol on a real loopback socket, and a client that sends bytes as they stand."""

import asyncio
import functools
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.core.asgi import CONNECTION_EXTENSION, ASGIApp, ClientConnection, Receive, Scope, Send
from gateway.core.worker import Refused
from gateway.server.accepting import Acceptor
from gateway.server.connection import ConnectionLimits
from gateway.server.listening import listen
from gateway.server.protocol import HttpProtocol
from gateway.server.serving import Serving
from gateway.server.slow_readers import SlowReaders
from gateway.server.usual import UsualRequests

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
PATIENCE_SECS = 30.0


@dataclass
class Door:
    """Where the protocol listens, and what a worker would know of it."""

    port: int
    state: Serving
    refused: list[Refused] = field(default_factory=list)


@asynccontextmanager
async def serving(
    app: ASGIApp,
    *,
    header_timeout: float = 10.0,
    keepalive: float = 75.0,
    write_timeout: float = 60.0,
    max_header_bytes: int = 65536,
) -> AsyncIterator[Door]:
    """Serve `app` on a port of the kernel's choice."""
    state = Serving()
    state.default_headers = [(b"date", b"Sat, 21 Nov 2026 01:00:00 GMT")]
    heads = UsualRequests(max_header_bytes)
    limits = ConnectionLimits(header_timeout, keepalive, max_header_bytes, SlowReaders(write_timeout), heads)
    refused: list[Refused] = []
    make = functools.partial(HttpProtocol, state, {}, app=app, limits=limits, refused=refused.append)
    with listen("127.0.0.1", 0) as listener:
        acceptor = Acceptor(listener, make)
        try:
            yield Door(listener.getsockname()[1], state, refused)
        finally:
            acceptor.close()
            for task in state.tasks:
                task.cancel()
            await asyncio.gather(*state.tasks, return_exceptions=True)


class Client:
    """One connection of a client that knows no HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write, and wait until the kernel has taken it."""
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, mark: bytes) -> bytes:
        """What comes, up to and with `mark`."""
        data: bytes = await asyncio.wait_for(self.reader.readuntil(mark), PATIENCE_SECS)
        return data

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        data: bytes = await asyncio.wait_for(self.reader.read(), PATIENCE_SECS)
        return data

    async def answer(self) -> bytes:
        """One answer of stated length."""
        head = await self.until(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body: bytes = await self.reader.readexactly(length)
        return head + body

    def leave(self, *, reset: bool = False) -> None:
        """Close the socket, politely or with a reset."""
        if reset:
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.writer.transport.abort()
        else:
            self.writer.close()


@asynccontextmanager
async def client(door: Door) -> AsyncIterator[Client]:
    """A connection to `door`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1 << 24)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def ask(door: Door, data: bytes) -> bytes:
    """Send bytes on a connection of their own; what came until the server closed."""
    async with client(door) as it:
        await it.send(data)
        return await it.rest()


def request(method: str = "POST", path: str = "/", body: bytes = b"", *fields: bytes) -> bytes:
    """A request as a client would write it."""
    head = [f"{method} {path} HTTP/1.1".encode(), b"Host: gateway.test", *fields]
    if body:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def read_body(receive: Receive) -> bytes:
    """The whole body, as an application receives it."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def reply(send: Send, body: bytes, *, status: int = 200, stated: bool = True) -> None:
    """A whole answer."""
    length = [(b"content-length", b"%d" % len(body))] if stated else []
    await send({"type": "http.response.start", "status": status, "headers": length})
    await send({"type": "http.response.body", "body": body})


def connection_of(scope: Scope) -> ClientConnection:
    """What the server says of the client's socket."""
    connection: ClientConnection = scope["extensions"][CONNECTION_EXTENSION]
    return connection


@dataclass
class Echo:
    """An application that answers with the body it was sent, and remembers what it was asked."""

    scopes: list[Scope] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await reply(send, await read_body(receive))


async def receive_until_gone(receive: Receive) -> None:
    """Read the body away, and wait for the departure or the answer's end."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def turns(count: int = 3) -> None:
    """What was sent on the loopback is read within three turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)  # noqa: TID251 -- no time passes


async def eventually(condition: Callable[[], Any]) -> None:
    """Wait until it holds, or fail."""
    async with asyncio.timeout(PATIENCE_SECS):
        while not condition():  # noqa: ASYNC110 -- see below
            await asyncio.sleep(0.005)  # noqa: TID251 -- a condition of another process or of the kernel has no event
