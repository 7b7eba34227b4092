"""How do a client's bytes become requests? HTTP/1.1 on httptools, one request at a time."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from gateway.core.asgi import CONNECTION_EXTENSION, FIELDS_EXTENSION, ASGIApp
from gateway.core.errors import BadRequestError, GatewayError
from gateway.core.worker import Refused
from gateway.server.connection import ClientSocket, ConnectionLimits, address_of
from gateway.server.exchange import Exchange
from gateway.server.framing import Allowance
from gateway.server.head import HeadTimeoutError
from gateway.server.head_reader import HeadReader
from gateway.server.refusal import refusal
from gateway.server.scope import scope_between
from gateway.server.serving import Serving
from gateway.server.state import State
from gateway.server.usual import LENGTH_NAME, UsualRequest

BODY_BUFFER_BYTES = 65536
"""This much of a request's body waits for the application; then the client is made to wait."""
PARSED_BYTES = 65536
"""So much is parsed before it is judged: chunks of one byte each cost 0.5 us a chunk."""
LINE_ENDS = b"\r\n"
"""Some clients end a body with one too many; before a request line it is nothing (RFC 9112, section 2.2)."""


class PipelinedError(Exception):
    """Raised in a parser's callback: a second request stands behind one that is not answered yet."""


class HttpProtocol(ClientSocket):
    """One client's connection, and the requests that are read from it.

    Of our own, and not uvicorn's, as a gateway's promises depend on it: a departure is told by callback
    the moment the socket is lost (`core.asgi.ClientConnection`); a head must arrive in time and within bounds; a
    second request pipelined behind a running one, or behind an answer that the client does not take, is not run, as its
    bytes would hide the departure, and its answer would wait behind the other; an early answer is not lost to a reset;
    HTTP/1.0 gets no chunks; what is refused here is told to `refused`, as no application will ever count it. What the
    bytes mean that come is said by its `state`; here that is asked of what the state is made of, for speed.
    """

    __slots__ = ("_allowance", "_app", "_app_state", "_head", "_refused", "_usual")

    def __init__(
        self,
        server_state: Serving,
        app_state: dict[str, Any],
        *,
        app: ASGIApp,
        limits: ConnectionLimits,
        refused: Callable[[Refused], None],
    ) -> None:
        super().__init__(server_state, asyncio.get_running_loop(), limits)
        self._app_state = app_state
        self._app = app
        self._refused = refused
        self._head = HeadReader(self, limits.max_header_bytes)
        self._usual = limits.heads
        self._allowance = Allowance(limits.max_header_bytes)

    @property
    def state(self) -> State:
        """What it is doing; not asked for where a request passes, as the answer is a call."""
        exchange = self._exchange
        if self._deaf:
            return State.DEAF
        if exchange is None:
            return State.HEAD if self._head.in_head else State.IDLE
        if exchange.complete:
            return State.UNTAKEN
        return State.BODY if exchange.more_body else State.ANSWERING

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as create_server makes
        """A client has connected; its first head is due."""
        super().connection_made(transport)
        client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._head.scope = scope_between(address_of(client), address_of(server))

    def data_received(self, data: bytes) -> None:
        """Bytes have come: of a head, of a body, or nothing that we asked for."""
        if len(data) > PARSED_BYTES:
            for begin in range(0, len(data), PARSED_BYTES):
                self.data_received(data[begin : begin + PARSED_BYTES])
        elif self._deaf:
            return
        elif self._exchange is not None:
            self._read_on(data, self._exchange)
        else:
            usual = None if self._head.in_head else self._usual.find(data)
            if usual is None:
                self._read_head(data)
            else:
                head, length, body = usual
                self._begin_usual(head, length, body)

    # head_reader.Requests

    def head_begins(self) -> None:
        """A request begins; behind one that is not answered yet none may."""
        if self._exchange is not None:
            raise PipelinedError

    def begin(self) -> None:
        """A request's head is accepted: it runs, and its body may follow."""
        head = self._head
        scope = head.scope.copy()
        exchange = self._exchange = Exchange(self)
        if len(head.decisive) > 1 or not head.modern or scope["method"] == "HEAD":
            self._adapt(exchange, scope["method"])
        if not head.parser.should_keep_alive():
            exchange.keep_alive = False
        scope["headers"] = head.headers
        scope["extensions"] = {CONNECTION_EXTENSION: exchange}
        self._run(exchange, scope)

    def on_body(self, data: bytes) -> None:
        """A part of the body, without its chunks' framing."""
        exchange = self._exchange
        if exchange is None:
            return
        exchange.feed(data)
        if exchange.waiting > BODY_BUFFER_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The request is complete; reading goes on, or a departure would pass unseen."""
        exchange = self._exchange
        if exchange is None or self._head.parser.should_upgrade():
            return
        exchange.end_of_body()
        if self._reading_paused:
            self.resume_body()

    # Our own.

    def _read_head(self, data: bytes) -> None:
        """A head, or a part of one, and what of its body came with it."""
        if data[0] in LINE_ENDS and not self._head.in_head:
            data = data.lstrip(LINE_ENDS)
            if not data:
                return
        self._parse(data)
        head, exchange = self._head, self._exchange
        if self._deaf:
            return
        if head.in_head:
            self._await_rest_of_head(data)
        elif exchange is not None and not exchange.more_body and not head.before:
            self._usual.learn(data, head.scope, head.headers)

    def _parse(self, data: bytes) -> None:
        try:
            rest = self._head.feed(data)
        except GatewayError as error:
            self._stop_parsing(error)
            return
        if rest:
            self.data_received(rest)

    def _await_rest_of_head(self, data: bytes) -> None:
        try:
            self._head.await_rest(data)
        except GatewayError as error:
            self._refuse(error)
        else:
            self._expect_head()

    def _read_on(self, data: bytes, exchange: Exchange) -> None:
        """What comes behind a head is its body, or nothing that is run behind the running request."""
        if not exchange.more_body:
            if exchange.complete and exchange.keep_alive and not self.untaken():
                self.resume_writing()  # all was taken, and the transport is about to say so
                self.data_received(data)
            elif data.strip(LINE_ENDS):
                self._hear_no_more()
            return
        waiting = exchange.waiting
        self._parse(data)
        if exchange.more_body:
            fit = self._allowance.spend(len(data), exchange.waiting - waiting)
            if not (fit or self._deaf):
                self._stop_parsing(BadRequestError("The request's body is more framing than content."))

    def _begin_usual(self, head: UsualRequest, length: bytes, body: bytes) -> None:
        """What the parser's callbacks do of a whole request, with what they found when its head was read."""
        if self._head_timer is not None:
            self.head_is_there()
        exchange = self._exchange = Exchange(self, more_body=False, parts=[body], waiting=len(body))
        scope = self._head.scope.copy()
        scope |= head.line
        scope["headers"] = [*head.before, (LENGTH_NAME, length), *head.after]
        fields = head.fields.copy()
        fields[LENGTH_NAME] = length
        scope["extensions"] = {CONNECTION_EXTENSION: exchange, FIELDS_EXTENSION: fields}
        self._run(exchange, scope)

    def _run(self, exchange: Exchange, scope: dict[str, Any]) -> None:
        if self._draining:
            exchange.keep_alive = False
        scope["state"] = self._app_state.copy()
        running = self._server.tasks
        # As the loop's `create_task`, but for a name of its own for each: 1,600 instructions.
        task = exchange.task = asyncio.Task(exchange.run(self._app, scope, running), loop=self._loop, name="request")
        running.add(task)

    def _adapt(self, exchange: Exchange, method: str) -> None:
        self._allowance.renew()
        expected = [value.lower() for name, value in self._head.decisive if name == b"expect"]
        exchange.adapt(
            chunks=self._head.modern, head_only=method == "HEAD", expects_continue=b"100-continue" in expected
        )
        exchange.keep_alive = self._head.modern

    def _head_is_late(self) -> None:
        if self.state is State.HEAD:
            self._refuse(HeadTimeoutError("The request's headers did not arrive in time."))
        else:
            super()._head_is_late()

    def _stop_parsing(self, error: GatewayError) -> None:
        """What came cannot be read on."""
        exchange = self._exchange
        if exchange is None:
            self._refuse(error)
            return
        self._hear_no_more()
        if exchange.more_body:
            exchange.break_off(error)  # the application says it, under the id that it knows the request by

    def _refuse(self, error: GatewayError) -> None:
        """Answer in the application's stead a head that it will never see."""
        request_id = secrets.token_hex(16)
        self.write(refusal(error, request_id, self.date_line()))
        waited = self._loop.time() - self._head_since if self._head_timer is not None else 0.0
        peer, target = self._head.scope["client"], self._head.url.decode("ascii", "replace")
        self._refused(Refused(request_id, error.status, error.outcome, peer[0] if peer else "", target, waited))
        self._linger()
