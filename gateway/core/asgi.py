"""What does the server hand us? The ASGI types, and what our server adds to them."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
"""Header fields in the order of the wire; names in lower case, as ASGI wants them."""
Fields = dict[bytes, bytes]
"""Header fields by name; see `fields_of`."""

CLOSE = (b"connection", b"close")
"""A field of an answer that leaves some of the request's body unread: the rest would be taken for the next request."""

CONNECTION_EXTENSION = "gateway.connection"
"""The key in ``scope["extensions"]`` under which our server puts the request's `ClientConnection`."""

FIELDS_EXTENSION = "gateway.fields"
"""The key beside it for the request's `Fields`, where our server has them without asking each of its headers."""


def fields_of(headers: Headers) -> Fields:
    """Values by name; those of a name that occurs several times are joined with commas (RFC 9110, section 5.3)."""
    fields = dict(headers)
    if len(fields) != len(headers):
        fields.clear()
        for name, value in headers:
            fields[name] = b"%b, %b" % (fields[name], value) if name in fields else value
    return fields


def first_of(headers: Headers, name: bytes) -> bytes:
    """The value of the first field of that name, empty when there is none."""
    for known, value in headers:
        if known == name:
            return value
    return b""


class ClientConnection(Protocol):
    """The client's socket, as far as a request may see and use it.

    ASGI alone tells of a departure only to whoever awaits ``receive()``, which costs a task per request.

    Attributes:
        task: what runs the request; the server knows it, and to ask asyncio costs 1,300 instructions.
    """

    @property
    def task(self) -> asyncio.Task[None] | None:
        """See above."""
        ...

    @property
    def slow(self) -> bool:
        """Whether its client is gone because it was shut out: it took nothing for CLIENT_WRITE_TIMEOUT_SECS."""
        ...

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Call `on_gone` once, from the event loop, when the client's socket is lost before the answer is complete.

        It is called soon, never inside `watch`, when the client has left already. One watcher per request.
        """
        ...

    def unwatch(self) -> None:
        """Forget the watcher; nothing happens when there is none."""
        ...

    def take_body(self) -> bytes | None:
        """The request's whole body, once, if all of it has come; else None, and `receive` gives it part by part.

        None too when the client has left, or waits to be told that it may send: `receive` says the one and does the
        other.
        """
        ...

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Write the whole answer, as two messages of `send` do, at once; whether the client has room for more.

        When it has none, wait for `room` as `send` would. `headers` state neither length nor framing nor what becomes
        of the connection: that is added here.

        Raises:
            RuntimeError: an answer has begun already, or a header holds a line break or a NUL; nothing was written.
        """
        ...

    def start(self, status: int, headers: Headers, data: bytes) -> bool:
        """Write the head of an answer of unknown length with the first piece of its body; otherwise as `answer`."""
        ...

    def push(self, data: bytes) -> bool:
        """Write a further piece of the answer's body, as `send` does, at once; whether the client has room for more.

        When it has none, wait for `room` before the next piece.
        """
        ...

    def finish(self, data: bytes) -> bool:
        """Write the last piece of the answer's body, and its end; otherwise as `push`."""
        ...

    async def room(self) -> None:
        """Wait until the client has taken enough of what was written."""
        ...

    def untaken(self) -> int:
        """How many bytes of what was written the client's kernel has not taken.

        Ours holds some 150 KB of them, and asks for more in steps of 50 KB: of a client that takes 1 KB a second, what
        waits before it stands still for minutes.
        """
        ...

    def drop(self) -> None:
        """Reset the socket, with all that was written and not taken: for a client that is known not to read.

        When it has taken all, as `abort`.
        """
        ...

    def abort(self) -> None:
        """Close the socket after what was written, without ending the answer.

        The client then sees an incomplete body, the one sign of failure that every HTTP client understands. Behind a
        complete answer it drops what the client has not taken, and does nothing when it has taken all.
        """
        ...
