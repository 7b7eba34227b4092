"""What does a caller need of an HTTP client? One request out, one answer back, and a close that always works."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct, field

from gateway.core.asgi import Headers
from gateway.core.context import Phase
from gateway.upstream.address import Address


class Progress(Protocol):
    """What is told how far a request has come: a `core.context.RequestContext`."""

    phase: Phase
    sent_at: float | None


class UpstreamRequest(Struct):
    """One request to a backend.

    Attributes:
        method: upper case, as on the wire.
        path: starts with a slash, query included; the address's base path is put before it.
        headers: already filtered, lower case; without host, content-length, connection and transfer-encoding, which
            the client writes itself. What is the same for many requests: it is checked and put together once.
        body: the whole body; it is never altered, and never sent again once a backend may have any of it.
        progress: its phase becomes WAITING when a connection is there, before the first byte is written to it; its
            `sent_at` is when that was for the first time, in seconds on the monotonic clock.
        request_id: the one field that each request has of its own, `x-request-id` behind the others; none when it is
            empty.
        trace: further fields of its own, where it is part of a trace.
    """

    method: bytes
    path: bytes
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    progress: Progress | None = None
    request_id: bytes = b""
    trace: Sequence[tuple[bytes, bytes]] = ()


Take = Callable[[bytes], bool]
"""Takes a piece of a body; False when it wants no more for now."""


class Reply(Protocol):
    """An answer whose headers are there and whose body may still be on its way."""

    @property
    def status(self) -> int:
        """The final status, 200 to 599; interim answers (1xx) are skipped."""
        ...

    @property
    def headers(self) -> Headers:
        """The fields in the order of the wire, names in lower case, without those that belong to one connection.

        Dropped: connection and what it names, keep-alive, transfer-encoding, te, trailer, upgrade, proxy-*, server,
        date. Content-length stays.
        """
        ...

    @property
    def content_type(self) -> bytes:
        """The first such field among `headers`, which every answer is asked for; empty when there is none."""
        ...

    @property
    def content_length(self) -> int | None:
        """How many bytes `read` will give in all; None when only the body's end tells. 0 for HEAD, 204 and 304."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the body's clean end has come, though not all of it may have been read."""
        ...

    async def read(self) -> bytes:
        """Give what has arrived since the last call, waiting only when that is nothing; b"" at the clean end.

        Raises:
            MayHaveRun: the body ended before its end, or is not HTTP. What came before is given first.
        """
        ...

    async def pour(self, take: Take) -> None:
        """Give each piece to `take` in the very call that brings it, until it returns False or the body has ended.

        That spares the caller's task a wake-up per piece. What `take` raises is raised here; otherwise as `read`, of
        which it is the faster form.
        """
        ...

    def close(self) -> None:
        """Keep the connection when the answer is complete and clean, else close its socket at once; idempotent."""
        ...

    def discard(self) -> None:
        """Close the socket at once, however clean the answer looks; `close` then does nothing."""
        ...


class UpstreamClient(Protocol):
    """An HTTP client to the backends."""

    async def send(self, address: Address, request: UpstreamRequest) -> Reply:
        """Send one request and return when the answer's headers are there; the caller closes the reply.

        A cancellation closes the connection at once, in every phase. There is no time-out once connected.

        Raises:
            NeverSent: the backend provably did not take the request.
            MayHaveRun: the request may have run, and there is no answer.
            PoolExhausted: no connection became free in time.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection, those in use included."""
        ...
