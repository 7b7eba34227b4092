"""How does a client's socket become requests? One HTTP/1.1 connection on httptools, one request at a time."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.core.asgi import CONNECTION_EXTENSION, ASGIApp, Headers
from gateway.core.errors import BadRequestError, GatewayError
from gateway.server.exchange import Exchange
from gateway.server.head import DECISIVE, MAX_HEADERS, Target, check_head, check_size, split_target, too_long, too_many
from gateway.server.refusal import refusal

BODY_BUFFER_BYTES = 65536
"""This much of a request's body waits for the application; then the client is made to wait."""
WRITE_BUFFER_BYTES = 65536
"""This much of an answer waits for the client; then the application is made to wait."""
TCP_NOTSENT_LOWAT = 25
"""Linux's number; the socket module has no name for it."""
UNSENT_BYTES = 131072
"""This much more waits in the kernel, which would otherwise take megabytes for a client that reads nothing: its
backend would not be slowed down, and nobody would notice that it does not read."""
LINGER_SECS = 2.0
"""How long a refused client may go on sending before its socket is cut."""
FLUSH_SECS = 30.0
"""How long a client may take to read the end of an answer on a connection that is to close."""
LAST_IDLE_SECS = 1.0
"""How long an idle connection outlives the beginning of a drain: a request may be on its way, and is answered."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
REQUEST_KEYS = ("http_version", "method", "path", "raw_path", "query_string", "headers", "state", "extensions")
"""What a scope says of its request; the rest is its connection's."""
FRAMING = (b"content-length", b"transfer-encoding")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a client may take: seconds for a head, seconds of idleness, bytes of a head."""

    header_timeout: float
    keepalive: float
    max_header_bytes: int


class PipelinedError(Exception):
    """Raised in a parser's callback: a second request stands behind one that is not answered yet."""


class HttpProtocol(asyncio.Protocol):
    """One client's connection.

    It stands in for uvicorn's own protocol where a gateway's promises depend on it: a departure is told by callback
    the moment the socket is lost (`core.asgi.ClientConnection`); a head must arrive in time and within bounds; a
    second request pipelined behind a running one is not run, as its bytes would hide the departure; an `Upgrade` is
    ignored without losing the body; an early answer is not lost to a reset; HTTP/1.0 gets no chunks.
    """

    __slots__ = (
        "_accepted",
        "_app",
        "_app_state",
        "_chunk",
        "_date_fields",
        "_date_line",
        "_deaf",
        "_decisive",
        "_draining",
        "_exchange",
        "_head_bytes",
        "_head_timer",
        "_headers",
        "_idle_since",
        "_idle_timer",
        "_in_head",
        "_known_url",
        "_limits",
        "_loop",
        "_parser",
        "_path",
        "_reading_paused",
        "_relief",
        "_replaying",
        "_scope",
        "_server",
        "_target",
        "_transport",
        "_url",
        "congested",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        app: ASGIApp,
        limits: ConnectionLimits,
    ) -> None:
        del config
        self.congested = False
        self._loop = _loop or asyncio.get_running_loop()
        self._server = server_state
        self._app_state = app_state
        self._app = app
        self._limits = limits
        self._transport: asyncio.Transport
        self._scope: dict[str, Any] = {}
        """A scope with what all requests of this connection share, and room for the rest: a copy of it is cheap."""
        self._exchange: Exchange | None = None
        self._relief: asyncio.Future[None] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._deaf = False
        """What comes is thrown away, and reading goes on for the sake of noticing the client's departure."""
        self._draining = False
        self._reading_paused = False
        self._parser = httptools.HttpRequestParser(self)
        self._in_head = False
        self._replaying = False
        self._head_bytes = 0
        self._url = b""
        self._headers: Headers = []
        self._decisive: Headers = []
        """Those of the headers that decide how the request is read."""
        self._accepted: Headers | None = None
        """The last ones of HTTP/1.1 that `check_head` had nothing against: a proxy's connection repeats them."""
        self._chunk = b""
        """What is being parsed."""
        self._known_url = b""
        self._path = ""
        self._target = Target(b"", b"")
        """The last target, taken apart: a proxy's connection mostly carries requests to one."""
        self._date_fields: list[tuple[bytes, bytes]] = []
        self._date_line = b""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as create_server makes
        """A client has connected; its first head is due."""
        self._transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]  # typed for uvicorn's own
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        self._scope = {
            **dict.fromkeys(REQUEST_KEYS),
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "scheme": "http",
            "root_path": "",
            "client": address_of(transport.get_extra_info("peername")),
            "server": address_of(transport.get_extra_info("sockname")),
        }
        self._head_timer = self._loop.call_later(self._limits.header_timeout, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        """Bytes have come: of a head, of a body, or nothing that we asked for."""
        if self._deaf:
            return
        if self._exchange is not None and not self._exchange.more_body:
            self._answer_is_last()
            return
        self._chunk = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._stop_parsing(error.__context__)
        self._chunk = b""
        if self._in_head and not self._deaf:
            self._await_rest_of_head(len(data))

    def eof_received(self) -> None:
        """A client that stops sending is taken as gone: the transport closes, and not only when the rest was taken."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whichever side; a running request is told at once."""
        del exc
        self._server.connections.discard(self)
        for timer in (self._head_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._deaf = True
        self.resume_writing()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lost()

    def pause_writing(self) -> None:
        """The client takes its answer slowly."""
        self.congested = True

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.congested = False
        if self._relief is not None and not self._relief.done():
            self._relief.set_result(None)

    # What uvicorn's Server asks for.

    def shutdown(self) -> None:
        """A drain begins: the running answer is the connection's last, an idle connection closes soon."""
        self._draining = True
        if self._exchange is not None:
            self._exchange.keep_alive = False
        else:
            self._loop.call_later(LAST_IDLE_SECS, self._close_if_idle)

    # server.exchange.Wire

    @property
    def date_line(self) -> bytes:
        """The `date` header; Server makes it anew every second."""
        fields = self._server.default_headers
        if fields is not self._date_fields:
            self._date_fields = fields
            self._date_line = b"".join(b"%b: %b\r\n" % field for field in fields)
        return self._date_line

    def write(self, data: bytes) -> None:
        """Queue bytes for the client."""
        self._transport.write(data)
        if self._transport.is_closing():
            # The write found a dead socket and `connection_lost` is due: an application that writes without a pause
            # must wait here, or the loop would never come to tell it.
            self.congested = True

    async def relieved(self) -> None:
        """Wait until the client has taken enough of what was written, or has gone."""
        self._relief = self._loop.create_future()
        await self._relief

    def resume_body(self) -> None:
        """Read on, if a full buffer had stopped us."""
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def answered(self) -> None:
        """The answer is complete: wait for the next request, or close."""
        self._server.total_requests += 1
        exchange, self._exchange = self._exchange, None
        if exchange is None or self._transport.is_closing():
            return
        if exchange.keep_alive:
            self._idle_since = self._loop.time()
            if self._idle_timer is None:
                self._idle_timer = self._loop.call_later(self._limits.keepalive, self._check_idleness)
        elif exchange.more_body or self._deaf:
            self._linger()
        else:
            self._close_when_flushed()

    def drop_untaken(self) -> None:
        """Close at once, if a complete answer still waits for a client that does not take it."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    def hang_up(self, *, reset: bool) -> None:
        """Close after what was written; `reset` leaves the client no doubt that the answer is incomplete."""
        self._deaf = True
        if reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._close_when_flushed()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        if self._replaying:
            return
        if self._exchange is not None:
            raise PipelinedError
        self._in_head = True
        self._head_bytes = 0
        self._url = b""
        self._headers = []
        self._decisive = []

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        if not self._replaying:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer's, which nobody asks for."""
        if not self._in_head:
            return
        field = name.lower(), value
        headers = self._headers
        headers.append(field)
        if field[0] in DECISIVE:
            self._decisive.append(field)
        if len(headers) > MAX_HEADERS:
            raise too_many()

    def on_headers_complete(self) -> None:
        """The head is complete: the application may begin."""
        if self._replaying:
            return
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        version = self._parser.get_http_version()
        limit = self._limits.max_header_bytes
        if self._head_bytes + len(self._chunk) + MAX_HEADERS > limit:  # else it cannot be too long
            check_size(self._url, self._headers, limit)
        if version != "1.1" or self._decisive != self._accepted:
            check_head(version, self._decisive)
            self._accepted = self._decisive if version == "1.1" else None
        self._begin(version)

    def on_body(self, data: bytes) -> None:
        """A part of the body, without its chunks' framing."""
        exchange = self._exchange
        if exchange is None:
            return
        exchange.feed(data)
        if len(exchange.body) > BODY_BUFFER_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The request is complete; reading goes on, or a departure would pass unseen."""
        exchange = self._exchange
        if exchange is None or self._parser.should_upgrade():
            return
        exchange.end_of_body()
        if self._reading_paused:
            self.resume_body()

    # Our own.

    def _begin(self, version: str) -> None:
        if self._url != self._known_url:
            self._take_apart(self._url)
        path, query = self._target
        method = self._parser.get_method().decode("ascii")
        exchange = self._exchange = Exchange(self)
        if version != "1.1" or method == "HEAD" or len(self._decisive) > 1:
            self._adapt(exchange, version, method)
        if self._draining or not self._parser.should_keep_alive():
            exchange.keep_alive = False
        scope = self._scope.copy()
        scope["http_version"] = version
        scope["method"] = method
        scope["path"] = self._path
        scope["raw_path"] = path
        scope["query_string"] = query
        scope["headers"] = self._headers
        scope["state"] = self._app_state.copy()
        scope["extensions"] = {CONNECTION_EXTENSION: exchange}
        task = self._loop.create_task(exchange.run(self._app, scope))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def _take_apart(self, url: bytes) -> None:
        target = split_target(url)
        path = target.path.decode("ascii")
        self._path = unquote(path) if "%" in path else path
        self._target = target
        self._known_url = url

    def _adapt(self, exchange: Exchange, version: str, method: str) -> None:
        modern = version == "1.1"
        expected = [value.lower() for name, value in self._decisive if name == b"expect"]
        exchange.adapt(chunks=modern, head_only=method == "HEAD", expects_continue=b"100-continue" in expected)
        exchange.keep_alive = modern

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read on as if `Upgrade` had not been asked for: the parser takes what follows for another protocol's.

        A fresh parser is told the framing of the body alone; its callbacks for that head are deaf.
        """
        framing = b"".join(b"%b: %b\r\n" % field for field in self._headers if field[0] in FRAMING)
        self._parser = httptools.HttpRequestParser(self)
        self._replaying = True
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
        self._replaying = False
        if rest:
            self.data_received(rest)

    def _await_rest_of_head(self, received: int) -> None:
        self._head_bytes += received
        if self._head_bytes > self._limits.max_header_bytes:
            self._refuse(too_long(self._limits.max_header_bytes))
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._limits.header_timeout, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._transport.abort()

    def _answer_is_last(self) -> None:
        """Run nothing behind the running request; what came is thrown away, and the connection ends with the answer."""
        self._deaf = True
        self.resume_body()
        if self._exchange is not None:
            self._exchange.keep_alive = False

    def _stop_parsing(self, reason: BaseException | None) -> None:
        if self._exchange is not None and not self._exchange.more_body:
            self._answer_is_last()
        elif isinstance(reason, GatewayError):
            self._refuse(reason)
        else:
            self._refuse(BadRequestError("The request is not valid HTTP/1.1."))

    def _refuse(self, error: GatewayError) -> None:
        """Answer in the application's stead, unless it has begun to; a running request is told that it is over."""
        exchange, self._exchange = self._exchange, None
        if exchange is None or not exchange.started:
            self._transport.write(refusal(error, self.date_line))
        if exchange is not None:
            exchange.lost()
        self._linger()

    def _linger(self) -> None:
        """Close so that the client can read what was written: closing upon unread bytes would reset the connection."""
        self._deaf = True
        self.resume_body()
        self._transport.write_eof()
        self._loop.call_later(LINGER_SECS, self._transport.abort)

    def _close_when_flushed(self) -> None:
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(FLUSH_SECS, self._transport.abort)

    def _close_if_idle(self) -> None:
        if self._exchange is None and not self._in_head:
            self._transport.close()

    def _check_idleness(self) -> None:
        """One timer per connection, set anew only when it fires: a timer per request would cost each a microsecond."""
        self._idle_timer = None
        if self._exchange is not None or self._in_head:
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
