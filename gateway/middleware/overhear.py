"""What is said? Lets the audit trail hear a request's body and its answer, where texts are kept."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from gateway.audit.heard import Heard
from gateway.core.asgi import ASGIApp, ClientConnection, Headers, Message, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext

Listen = Callable[[RequestContext], Heard | None]


class Overhear:
    """Stands behind the key: whose texts are kept depends on the organization. There is no such layer otherwise.

    What the gateway itself says of a failure is made outside of it, and not heard: a record's outcome has it.

    Args:
        app: the rest of the chain.
        listen: gives what hears a request, or None.
    """

    def __init__(self, app: ASGIApp, listen: Listen) -> None:
        self._app = app
        self._listen = listen

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the request on, and its pieces by `heard`."""
        ctx: RequestContext = scope[CONTEXT_KEY]
        heard = self._listen(ctx)
        if heard is None:
            return self._app(scope, receive, send)
        if ctx.connection is not None:
            ctx.connection = _Overheard(ctx.connection, heard)
        return self._app(scope, partial(_receive, heard, receive), partial(_send, heard, send))


class _Overheard:
    """A client's connection (`core.asgi.ClientConnection`) whose bytes are noted on their way."""

    __slots__ = ("_add", "_connection", "_heard")

    def __init__(self, connection: ClientConnection, heard: Heard) -> None:
        self._connection = connection
        self._heard = heard
        self._add = heard.answered.add

    @property
    def task(self) -> "asyncio.Task[None] | None":
        return self._connection.task

    @property
    def slow(self) -> bool:
        return self._connection.slow

    def watch(self, on_gone: Callable[[], None]) -> None:
        self._connection.watch(on_gone)

    def unwatch(self) -> None:
        self._connection.unwatch()

    def take_body(self) -> bytes | None:
        body = self._connection.take_body()
        if body is not None:
            self._heard.asked.add(body)
        return body

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        self._add(body)
        return self._connection.answer(status, headers, body)

    def start(self, status: int, headers: Headers, data: bytes) -> bool:
        self._add(data)
        return self._connection.start(status, headers, data)

    def push(self, data: bytes) -> bool:
        self._add(data)
        return self._connection.push(data)

    def finish(self, data: bytes) -> bool:
        self._add(data)
        return self._connection.finish(data)

    async def room(self) -> None:
        await self._connection.room()

    def untaken(self) -> int:
        return self._connection.untaken()

    def drop(self) -> None:
        self._connection.drop()

    def abort(self) -> None:
        self._connection.abort()


async def _receive(heard: Heard, receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.request":
        heard.asked.add(message.get("body", b""))
    return message


async def _send(heard: Heard, send: Send, message: Message) -> None:
    if message["type"] == "http.response.body":
        heard.answered.add(message.get("body", b""))
    await send(message)
