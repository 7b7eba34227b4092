"""How does one request talk to its client? Body in, JSON or events out, and notice at once when the client leaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from secrets import token_hex

import orjson
from starlette.types import Receive, Scope, Send

from gateway.simulator.engine import NO_ORDERS, Orders
from gateway.simulator.ledger import Entry
from gateway.simulator.transport import Connection, connection_of

Header = tuple[bytes, bytes]

_JSON: Header = (b"content-type", b"application/json")
_EVENTS: Header = (b"content-type", b"text/event-stream; charset=utf-8")
_VARY: Header = (b"vary", b"Origin")

COMMENT = b": keep-alive\n\n"
"""What vLLM sends while nothing else comes, if --sse-keep-alive-interval is set."""

DONE = b"data: [DONE]\n\n"


class ClientGone(Exception):  # noqa: N818 -- what clients do, not something gone wrong
    """The client closed its connection before the answer was complete."""


class Exchange:
    """One request and its answer.

    Args:
        entry: the ledger's line about it.

    Attributes:
        gone: the client has closed the connection.
        broken: a fault or an engine error has cut the answer.
        tokens_made: how many tokens the engine has made for it so far.
        abandon: take its work from the engine, if any is left.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, entry: Entry) -> None:
        self.scope = scope
        self.entry = entry
        self.orders: Orders = NO_ORDERS
        self.status: int | None = None
        self.extra_headers: list[Header] = []
        self.gone = False
        self.broken = False
        self.tokens_made: Callable[[], int] = lambda: 0
        self.abandon: Callable[[], None] = lambda: None
        self._receive = receive
        self._send = send
        self._body: bytes | None = None

    @property
    def connection(self) -> Connection:
        """The connection below, for faults."""
        return connection_of(self.scope)

    def header(self, name: str) -> str | None:
        """The first header of this name, decoded as Latin-1."""
        wanted = name.lower().encode()
        for key, value in self.scope["headers"]:
            if key == wanted:
                return bytes(value).decode("latin-1")
        return None

    def new_id(self, prefix: str, asked: str | None = None) -> str:
        """The response id: a prefix and the client's X-Request-Id, else the body's `request_id`, else 16 hex digits."""
        self.entry.response_id = f"{prefix}-{self.header('x-request-id') or asked or token_hex(8)}"
        return self.entry.response_id

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            ClientGone: the connection ended before the body did.
        """
        if self._body is None:
            chunks = []
            more = True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self.gone = True
                    raise ClientGone
                chunks.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._body = b"".join(chunks)
        return self._body

    @contextlib.asynccontextmanager
    async def watched(self, leave: Callable[[], None]) -> AsyncIterator[None]:
        """While the block runs, a client that goes away has `leave` called at once."""
        watch = asyncio.create_task(self._watch(leave))
        try:
            yield
        finally:
            watch.cancel()

    def tap(self, wrap: Callable[[Send], Send]) -> None:
        """Let a fault see every ASGI message before it is sent."""
        self._send = wrap(self._send)

    async def until_gone(self) -> None:
        """Wait until the client has closed the connection."""
        while not self.gone:
            message = await self._receive()
            self.gone = message["type"] == "http.disconnect"

    def fresh_id(self, prefix: str, asked: str | None) -> str:
        """A response id whatever the X-Request-Id: the body's `request_id` as it is, or a new one."""
        self.entry.response_id = asked or f"{prefix}_{token_hex(8)}"
        return self.entry.response_id

    async def json(self, content: object, status: int = 200, *, vary: bool = True) -> None:
        """Answer with JSON, in vLLM's headers: only its 401 lacks `vary`."""
        await self.answer(orjson.dumps(content), [_JSON], status, vary=vary)

    async def answer(self, body: bytes, headers: Iterable[Header], status: int = 200, *, vary: bool = True) -> None:
        """Answer with a body of known length."""
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [length, *headers, *([_VARY] if vary else [])])
        await self._send({"type": "http.response.body", "body": body})

    async def chunked(self, body: bytes, headers: Iterable[Header]) -> None:
        """Answer with a chunked body."""
        await self._start(200, [*headers, _VARY])
        await self.event(body)
        await self.end_events()

    async def start_events(self) -> None:
        """Begin a stream: as with vLLM, the headers go out before the first token is there."""
        await self._start(200, [_EVENTS, _VARY])

    async def event(self, data: bytes) -> None:
        """Send bytes of a stream: whole events, one chunk each."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_events(self) -> None:
        """End the chunked body."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.status = self.entry.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self.extra_headers]})

    async def _watch(self, leave: Callable[[], None]) -> None:
        await self.until_gone()
        leave()


def sse(content: object) -> bytes:
    """One event of the OpenAI dialect."""
    return b"data: " + orjson.dumps(content) + b"\n\n"


def typed_sse(kind: str, content: object) -> bytes:
    """One event of a dialect that names its events."""
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(content) + b"\n\n"
