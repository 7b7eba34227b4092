"""A request without a server: its context, its client's socket, and what was said to it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.core.asgi import CONNECTION_EXTENSION, Headers, Message, Scope
from gateway.core.context import RequestContext
from gateway.core.endpoint import Access, Dialect, Endpoint, ModelKind
from gateway.core.lifeline import Lifeline

POST = frozenset({"POST"})
GET = frozenset({"GET", "HEAD"})
CHAT = Endpoint(
    "/v1/chat/completions", POST, upstream_path=b"/v1/chat/completions", kinds=(ModelKind.CHAT,), streams=True
)
MESSAGES = Endpoint(
    "/v1/messages",
    POST,
    upstream_path=b"/v1/messages",
    dialect=Dialect.ANTHROPIC,
    kinds=(ModelKind.CHAT,),
    streams=True,
)
RESPONSES = Endpoint(
    "/v1/responses",
    POST,
    upstream_path=b"/v1/responses",
    dialect=Dialect.RESPONSES,
    kinds=(ModelKind.CHAT,),
    streams=True,
)
EMBEDDINGS = Endpoint("/v1/embeddings", POST, upstream_path=b"/v1/embeddings", kinds=(ModelKind.EMBEDDING,))
MODELS = Endpoint("/v1/models", GET)
HEALTH = Endpoint("/health", GET, access=Access.OPEN)


class FakeConnection:
    """A client's socket: `leave` closes it from the other side.

    Attributes:
        aborted: the gateway closed it without ending the answer.
        dropped: it did so at once, without waiting for what was not taken.
        holds: bytes that its client has not taken.
        slow: it was closed because of that.
        on_gone: the watcher, while there is one.
        told: what was told so far, if it can be told without `send` too.
        body: the request's body, where it is complete from the start.
    """

    def __init__(self, told: "Told | None" = None, body: bytes | None = None) -> None:
        self.body = body
        self.aborted = self.dropped = self.slow = False
        self.holds = 0
        self.told = told
        self.on_gone: Callable[[], None] | None = None

    @property
    def task(self) -> "asyncio.Task[None] | None":
        return asyncio.current_task()

    def watch(self, on_gone: Callable[[], None]) -> None:
        self.on_gone = on_gone

    def unwatch(self) -> None:
        self.on_gone = None

    def abort(self) -> None:
        self.aborted = True

    def drop(self) -> None:
        self.aborted = self.dropped = True

    def untaken(self) -> int:
        return self.holds

    def take_body(self) -> bytes | None:
        body, self.body = self.body, None
        return body

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        assert self.told is not None
        assert not self.told.status, "a second head"
        length = (b"content-length", b"%d" % len(body))
        self.told.status, self.told.headers, self.told.complete = status, [*headers, length], True
        self.told.parts.append(body)
        self.told.sending.set()
        return self.told.slow is None or self.told.slow.is_set()

    def start(self, status: int, headers: Headers, data: bytes) -> bool:
        assert self.told is not None
        assert not self.told.status, "a second head"
        self.told.status, self.told.headers = status, headers
        return FakeConnection.push(self, data)

    def finish(self, data: bytes) -> bool:
        room = FakeConnection.push(self, data)
        assert self.told is not None
        self.told.complete = True
        return room

    def push(self, data: bytes) -> bool:
        assert self.told is not None
        assert self.told.status, "a body before its head"
        assert not self.told.complete, "a piece behind the answer's end"
        self.told.parts.append(data)
        self.told.sending.set()
        return self.told.slow is None or self.told.slow.is_set()

    async def room(self) -> None:
        assert self.told is not None
        if self.told.slow is not None:
            await self.told.slow.wait()

    def leave(self) -> None:
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()


@dataclass
class Told:
    """The `send` of one request: refuses what HTTP cannot say (a second head, anything behind the end).

    Attributes:
        parts: the body's pieces, as they were sent.
        slow: while cleared, a client that takes nothing: `send` returns when it is set.
    """

    status: int = 0
    headers: Headers = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    complete: bool = False
    slow: asyncio.Event | None = None
    sending: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, message: Message) -> None:
        assert not self.complete, f"{message} behind the answer's end"
        if message["type"] == "http.response.start":
            assert not self.status, f"a second head: {message}"
            self.status, self.headers = message["status"], message["headers"]
        else:
            assert self.status, "a body before its head"
            self.parts.append(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        self.sending.set()
        if self.slow is not None and message["type"] == "http.response.body":
            await self.slow.wait()

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def header(self, name: bytes) -> bytes | None:
        values = [value for known, value in self.headers if known == name]
        assert len(values) < 2, f"{name!r} twice"
        return values[0] if values else None


def context(endpoint: Endpoint = CHAT, *, started: float = 1000.0, **known: Any) -> RequestContext:
    """A request of the running task."""
    task = asyncio.current_task()
    assert task is not None
    ctx = RequestContext(
        request_id="req1",
        endpoint=endpoint,
        lifeline=Lifeline(task),
        connection=FakeConnection(),
        started=started,
        method="POST",
        path=endpoint.path,
    )
    for name, value in known.items():
        setattr(ctx, name, value)
    return ctx


def scope_of(
    path: str = CHAT.path, *, method: str = "POST", headers: Headers | None = None, connection: object = None
) -> Scope:
    """An ASGI scope as our server makes it."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers or [],
        "client": ("203.0.113.7", 50123),
        "extensions": {} if connection is None else {CONNECTION_EXTENSION: connection},
    }


async def nothing_to_receive() -> Message:
    """The `receive` of a request that nobody reads."""
    raise AssertionError("nobody asked for the body")
