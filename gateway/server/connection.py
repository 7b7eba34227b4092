"""How does a client's connection live and end? What is written to it, how long it may wait, when it closes."""

import asyncio
from abc import abstractmethod
from dataclasses import dataclass

from gateway.core.asgi import Headers
from gateway.core.sockets import reset_on_close, unacknowledged
from gateway.server.exchange import Exchange
from gateway.server.serving import Serving
from gateway.server.slow_readers import SlowReaders
from gateway.server.state import State
from gateway.server.usual import UsualRequests

WRITE_BUFFER_BYTES = 65536
"""This much of an answer waits for the client, beside what the kernel takes; then the application is made to wait."""
JOINED_BYTES = 65536
"""A larger body is not copied to stand behind its head: that would be once for each client that does not take it."""
LINGER_SECS = 2.0
"""How long a refused client may go on sending before its socket is cut."""
LAST_IDLE_SECS = 1.0
"""How long an idle connection outlives the beginning of a drain: a request may be on its way, and is answered."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a client may take: seconds for a head, seconds of idleness, bytes of a head; and who sees that it reads.

    `heads` is what its worker's other connections have read before.
    """

    header_timeout: float
    keepalive: float
    max_header_bytes: int
    readers: SlowReaders
    heads: UsualRequests


class ClientSocket(asyncio.Protocol):
    """A client's socket without its HTTP; the `server.wire.Wire` of the request that runs on it.

    Attributes:
        congested, slow: see `server.wire.Wire`.
        written: bytes that were queued for the client.
    """

    __slots__ = (
        "_date_fields",
        "_date_line",
        "_deaf",
        "_draining",
        "_exchange",
        "_head_since",
        "_head_timer",
        "_idle_since",
        "_idle_timer",
        "_limits",
        "_loop",
        "_reading_paused",
        "_reliefs",
        "_server",
        "_transport",
        "congested",
        "slow",
        "written",
    )

    def __init__(self, server: Serving, loop: asyncio.AbstractEventLoop, limits: ConnectionLimits) -> None:
        self.congested = self.slow = False
        self.written = 0
        self._server = server
        self._loop = loop
        self._limits = limits
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        """The request that runs, or whose answer the client has yet to take; none is run behind it."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_since = 0.0
        """When the head that `_head_timer` times was first waited for."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._deaf = False
        """What comes is thrown away, and reading goes on for the sake of noticing the client's departure."""
        self._draining = False
        self._reading_paused = False
        self._reliefs: tuple[asyncio.Future[None], ...] = ()
        """One for each who waits: if they shared one, whoever is cancelled would cancel it for all."""
        self._date_fields: Headers = []
        self._date_line = b""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.value}>"

    @property
    @abstractmethod
    def state(self) -> State:
        """What it is doing, as who reads its bytes knows."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as create_server makes
        """A client has connected; its first head is due."""
        self._transport = transport
        self._server.connections.add(self)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._limits.readers.watch(self)
        self._expect_head()

    def eof_received(self) -> None:
        """A client that stops sending is taken as gone: the transport closes, and not only when the rest was taken."""
        if self.untaken():
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whichever side; a running request is told at once."""
        del exc
        self._server.connections.discard(self)
        self._limits.readers.forget(self)
        for timer in (self._head_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._deaf = True
        exchange, self._exchange = self._exchange, None
        self.resume_writing()
        if exchange is not None:
            exchange.lost()

    def pause_writing(self) -> None:
        """The client takes its answer slowly."""
        self.congested = True

    def resume_writing(self) -> None:
        """The client has taken enough; who waited for that is woken, and a complete answer is over."""
        self.congested = False
        reliefs, self._reliefs = self._reliefs, ()
        for relief in reliefs:
            if not relief.done():
                relief.set_result(None)
        exchange = self._exchange
        if exchange is not None and exchange.complete:
            self.end(b"", b"")

    # server.serving.Connection

    def shutdown(self) -> None:
        """A drain begins: the running answer is the connection's last, an idle connection closes soon."""
        self._draining = True
        if self._exchange is not None:
            self._exchange.keep_alive = False
        else:
            self._loop.call_later(LAST_IDLE_SECS, self._close_if_idle)

    def retire(self) -> None:
        """The worker takes no further connections: the next answer that can still say so is this one's last.

        Where an answer's head is out, and where nothing runs, a proxy was promised that the connection stays, and may
        be sending its next POST: that is answered, with `connection: close`. What is not used again ends by idleness.
        """
        self._draining = True
        if self._exchange is not None and not self._exchange.started:
            self._exchange.keep_alive = False

    # server.wire.Wire

    def date_line(self) -> bytes:
        """`date: ...` without a line end; the worker makes it anew every second."""
        fields = self._server.default_headers
        if fields is not self._date_fields:
            self._date_fields = fields
            self._date_line = b"\r\n".join(map(b": ".join, fields))
        return self._date_line

    def write(self, data: bytes) -> None:
        """Queue bytes for the client."""
        self.written += len(data)
        self._transport.write(data)
        if self._transport.is_closing():
            # The write found a dead socket and `connection_lost` is due: an application that writes without a pause
            # must wait here, or the loop would never come to tell it.
            self.congested = True

    async def relieved(self) -> None:
        """Wait until the client has taken enough of what was written, or has gone."""
        relief = self._loop.create_future()
        self._reliefs += (relief,)
        await relief

    def resume_body(self) -> None:
        """Read on, if a full buffer had stopped us."""
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def end(self, head: bytes, body: bytes) -> None:
        """Queue the answer's last bytes, if there are any; then wait for the next request, or close.

        That comes when the client has taken enough: or one that never reads could have answer upon answer queued. A
        client that still uploads is not waited for: it reads when it has sent all, which `_linger` throws away.
        """
        transport = self._transport
        if len(body) > JOINED_BYTES and head:
            self.write(head)
        else:
            body = head + body
        if body:
            self.written += len(body)
            transport.write(body)
        exchange = self._exchange
        if self.congested and exchange is not None and not exchange.more_body:
            return  # until `resume_writing`
        self._exchange = None
        if exchange is None or transport.is_closing():
            return
        if exchange.keep_alive:
            self._idle_since = self._loop.time()
            if self._idle_timer is None:
                self._idle_timer = self._loop.call_later(self._limits.keepalive, self._check_idleness)
        elif exchange.more_body or self._deaf:
            self._linger()
        else:
            transport.close()

    def untaken(self) -> int:
        """Bytes of what was written that wait for the client, beside what the kernel holds."""
        return self._transport.get_write_buffer_size()

    def undelivered(self) -> int:
        """Those, and what the kernel holds: the client's own kernel has acknowledged all that was written before."""
        return self.untaken() + unacknowledged(self._transport.get_extra_info("socket"))

    def drop(self) -> None:
        """Reset the socket, with what the kernel holds too: nobody reads it."""
        reset_on_close(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def give_up(self) -> None:
        """Reset the socket of a client that takes nothing; its request learns of it as of a departure."""
        self.slow = True
        self.drop()

    def hang_up(self, *, reset: bool) -> None:
        """Close after what was written; `reset` leaves the client no doubt that the answer is incomplete."""
        self._deaf = True
        if reset:
            reset_on_close(self._transport.get_extra_info("socket"))
        self._transport.close()

    # For the protocol that reads HTTP.

    def _expect_head(self) -> None:
        """From now on the client has its time for a head."""
        if self._head_timer is None:
            self._head_since = self._loop.time()
            self._head_timer = self._loop.call_later(self._limits.header_timeout, self._head_is_late)

    def head_is_there(self) -> None:
        """The head is complete, and was in time."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        """The time for a head is over, and not a byte of it has come."""
        self._transport.abort()

    def _hear_no_more(self) -> None:
        """Throw away what comes from here on; the running answer, if there is one, is the connection's last."""
        self._deaf = True
        self.resume_body()
        if self._exchange is not None:
            self._exchange.keep_alive = False

    def _linger(self) -> None:
        """Close so that the client can read what was written: closing upon unread bytes would reset the connection."""
        self._hear_no_more()
        self._transport.write_eof()
        self._loop.call_later(LINGER_SECS, self._transport.abort)

    # Our own.

    def _close_if_idle(self) -> None:
        if self.state is State.IDLE:
            self._transport.close()

    def _check_idleness(self) -> None:
        """One timer per connection, set anew only when it fires: a timer per request would cost each a microsecond."""
        self._idle_timer = None
        if self.state is not State.IDLE:
            return
        left = self._idle_since + self._limits.keepalive - self._loop.time()
        if left <= 0:
            self._transport.close()
        else:
            self._idle_timer = self._loop.call_later(left, self._check_idleness)


def address_of(name: object) -> tuple[str, int] | None:
    """Host and port of a TCP socket's name; a unix socket has none."""
    if isinstance(name, tuple) and len(name) >= 2:  # noqa: PLR2004 -- IPv6 adds flow and scope
        return str(name[0]), int(name[1])
    return None
