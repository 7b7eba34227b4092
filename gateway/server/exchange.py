"""How is one request handed to the application, and its answer to the socket? ASGI's receive and send."""

import asyncio
import logging
import secrets
from collections.abc import Callable

from gateway.core.asgi import ASGIApp, Headers, Message, Scope
from gateway.core.errors import GatewayError
from gateway.server.answer_head import BODILESS, FRAMING, STATUS_LINES, lines_of
from gateway.server.refusal import refusal
from gateway.server.wire import Wire

logger = logging.getLogger(__name__)

JOINED_BYTES = 65536
"""A larger body is not copied to stand behind its head: that would be once for each client that does not take it."""


class Exchange:
    """One request and its answer; also the request's `core.asgi.ClientConnection`.

    Attributes:
        waiting: bytes that have come of the request's body and were not yet received by the application.
        more_body: whether more of it is to come.
        keep_alive: whether the connection outlives the answer.
        started: whether the answer's head was written.
        complete: whether the answer's last byte was written.
        gone: whether the connection was lost before that.
        task: what runs it.
    """

    __slots__ = (
        "_body_received",
        "_broken",
        "_chunked",
        "_expects_continue",
        "_held",
        "_left",
        "_mute",
        "_news",
        "_on_gone",
        "_parts",
        "_wire",
        "complete",
        "gone",
        "keep_alive",
        "more_body",
        "started",
        "task",
        "waiting",
    )

    def __init__(self, wire: Wire) -> None:
        self.waiting = 0
        self.more_body = self.keep_alive = True
        self.started = self.complete = self.gone = False
        self.task: asyncio.Task[None] | None = None
        self._wire = wire
        self._parts: list[bytes] = []
        """What `waiting` counts: joined when it is received, as a body may come in a thousand parts at once."""
        self._news: asyncio.Future[None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._broken: GatewayError | None = None
        """Why the rest of the body will never come, though the client is there to be told."""
        self._expects_continue = self._body_received = False
        self._chunked = True
        self._mute = False
        """The answer has no body, whatever its headers say (HEAD, 204, 304)."""
        self._held = b""
        """The head of an answer of stated length: it leaves with the body, one packet and one system call for both."""
        self._left: int | None = None
        """Bytes of the stated content-length that are still to be written; None when none was stated."""

    def adapt(self, *, chunks: bool, head_only: bool, expects_continue: bool) -> None:
        """What is unusual about the request: HTTP/1.0 knows no chunks, a HEAD gets no body, a body may be asked for."""
        self._chunked = chunks
        self._mute = head_only
        self._expects_continue = expects_continue

    async def run(self, app: ASGIApp, scope: Scope, running: "set[asyncio.Task[None]]") -> None:
        """Let the application answer; one that fails leaves a 500 or an incomplete answer, never a complete one.

        At its end it strikes its task from `running`: a callback of the task would cost 2,600 instructions more. One
        that is cancelled before it began stays there, done.
        """
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            self.abort()  # the client has gone or the drain is over: nothing more is coming
        except Exception as error:
            if error is not self._broken:
                logger.exception("the application failed")
            self._give_up()
        else:
            if not self.complete and not self.gone:
                logger.error("the application returned before its answer was complete")
                self._give_up()
        finally:
            assert self.task is not None  # noqa: S101 -- set before the task's first step
            running.discard(self.task)

    # What the connection tells.

    def feed(self, data: bytes) -> None:
        """More of the request's body has come."""
        self._parts.append(data)
        self.waiting += len(data)
        if self._news is not None:
            self._wake()

    def end_of_body(self) -> None:
        """The request is complete."""
        self.more_body = False
        if self._news is not None:
            self._wake()

    def break_off(self, error: GatewayError) -> None:
        """The body cannot be read on: the application gets `error` for the rest of it, and may answer."""
        self._broken = error
        self._wake()

    def lost(self) -> None:
        """The client's socket is gone."""
        if self.complete or self.gone:
            return
        self.gone = True
        self._wake()
        self._tell()

    # core.asgi.ClientConnection

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Call `on_gone` once when the client's socket is lost before the answer is complete."""
        self._on_gone = on_gone
        if self.gone:
            asyncio.get_running_loop().call_soon(self._tell)

    def unwatch(self) -> None:
        """Forget the watcher."""
        self._on_gone = None

    def take_body(self) -> bytes | None:
        """The whole body, if it has come and was not received. See `core.asgi.ClientConnection`."""
        if self.more_body or self._body_received or self._expects_continue or self.gone:
            return None
        self._body_received = True
        self.waiting = 0
        parts = self._parts
        return parts.pop() if len(parts) == 1 else self._joined()

    def push(self, data: bytes) -> bool:
        """Write a further piece of the body; whether there is room for more. See `core.asgi.ClientConnection`."""
        if self.gone:
            return False
        if not self.started or self.complete:
            raise RuntimeError("a piece of the body has no place at this point of an answer")
        wire = self._wire
        if self._chunked and data:
            wire.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._write_body(data, more=True)
        return not wire.congested

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Write the whole answer; whether there is room for more. See `core.asgi.ClientConnection`."""
        if self.gone:
            return False
        if self.started:
            raise RuntimeError("a whole answer has no place at this point of an answer")
        wire = self._wire
        if self.more_body or self._mute or not self.keep_alive or status in BODILESS:
            length = [] if status in BODILESS else [(b"content-length", b"%d" % len(body))]
            self._start(status, [*headers, *length])
            self._write_body(body, more=False)
            return not wire.congested
        lines = lines_of(headers)
        head = b"\r\n".join([STATUS_LINES[status], wire.date_line(), *lines, b"content-length: %d\r\n\r\n" % len(body)])
        if len(body) > JOINED_BYTES:
            wire.write(head)  # a write of its own: see JOINED_BYTES
        else:
            body = head + body
        self.started = self.complete = True
        if self._news is not None:
            self._wake()
        wire.end(body)
        return not wire.congested

    async def room(self) -> None:
        """Wait until the client has taken enough, or has gone."""
        if self.gone:
            await asyncio.sleep(0)  # noqa: TID251 -- as in `send`
        elif self._wire.congested:
            await self._wire.relieved()

    def abort(self) -> None:
        """Close the socket after what was written, without ending the answer; drop a whole answer nobody takes."""
        if self.complete:
            if self._wire.untaken():
                self._wire.drop()
            return
        if self.gone:
            return
        if self._held:
            self._wire.write(self._held)
        self._end_without_end()
        # An answer of unstated length ends with its connection, so that only a reset tells that it was cut.
        self._wire.hang_up(reset=self.started and not self._chunked and self._left is None)

    def untaken(self) -> int:
        """Bytes of what was written that the client has not taken."""
        return 0 if self.gone else self._wire.untaken()

    def drop(self) -> None:
        """Reset the socket, with all that the client has not taken; when it has taken all, as `abort`."""
        if self.untaken():
            self._end_without_end()
            self._wire.drop()
        else:
            self.abort()

    # ASGI

    async def receive(self) -> Message:
        """The next part of the body as it came; after the last one, `http.disconnect` once the client is gone.

        Raises:
            GatewayError: what was to follow in the body is no HTTP.
        """
        if self._expects_continue and not self.started and not self.gone:
            self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False
        while not (self.gone or self.complete):
            if not self._body_received and (self.waiting or not self.more_body):
                parts = self._parts
                body = parts.pop() if len(parts) == 1 else self._joined()
                self.waiting = 0
                self._body_received = not self.more_body
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            if self._broken is not None:
                raise self._broken
            self._wire.resume_body()
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Write a part of the answer; nothing happens when the client has gone.

        Raises:
            RuntimeError: the application breaks the protocol: order, stated length, a line break in a header.
        """
        if self.gone:
            await asyncio.sleep(0)  # noqa: TID251 -- no time passes: a loop that only sends must stay cancellable
            return
        kind = message["type"]
        if kind == "http.response.body" and self.started and not self.complete:
            self._write_body(message.get("body", b""), more=message.get("more_body", False))
            if self._wire.congested:
                await self._wire.relieved()
        elif kind == "http.response.start" and not self.started:
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{kind} has no place at this point of an answer")

    def _joined(self) -> bytes:
        body = b"".join(self._parts)
        self._parts.clear()
        return body

    def _start(self, status: int, headers: Headers) -> None:
        for name, value in headers:
            if name in FRAMING:
                if name == b"content-length":
                    self._left = int(value)
                else:
                    headers = self._without_framing(headers)
        lines = lines_of(headers)
        if self.more_body:
            self.keep_alive = False  # an early answer: the rest of the request is not worth reading
        left = self._left
        self._mute = self._mute or status in BODILESS
        self._chunked = self._chunked and left is None and not self._mute
        if self._chunked:
            lines.append(b"transfer-encoding: chunked")
        if not self.keep_alive:
            lines.append(b"connection: close")
        head = b"\r\n".join([STATUS_LINES[status], self._wire.date_line(), *lines, b"\r\n"])
        self.started = True
        if left is None or self._mute:
            self._wire.write(head)
        else:
            self._held = head

    def _without_framing(self, headers: Headers) -> Headers:
        """The other fields: how the answer is framed, and what becomes of the connection, is ours to say."""
        if any(name == b"connection" and value.lower() == b"close" for name, value in headers):
            self.keep_alive = False
        return [field for field in headers if field[0] == b"content-length" or field[0] not in FRAMING]

    def _write_body(self, body: bytes, *, more: bool) -> None:
        left = self._left
        if left is not None and left == len(body) and not (more or self._mute):
            data = body
        else:
            data = b"" if self._mute else self._framed(body, more=more)
        if self._held:
            if len(data) > JOINED_BYTES:
                self._wire.write(self._held)  # a write of its own: see JOINED_BYTES
            else:
                data = self._held + data
            self._held = b""
        if more:
            if data:
                self._wire.write(data)
            return
        self.complete = True
        if self._news is not None:
            self._wake()
        self._wire.end(data)

    def _end_without_end(self) -> None:
        self.gone = True
        self._on_gone = None
        self._wake()

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return data if more else data + b"0\r\n\r\n"
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the answer's body is not as long as its content-length says")
        return body

    def _give_up(self) -> None:
        if self.started or self.gone:
            self.abort()
            return
        self.started = self.complete = True
        self.keep_alive = False
        error = self._broken or GatewayError("The gateway failed to answer this request.")
        self._wire.end(refusal(error, secrets.token_hex(16), self._wire.date_line()))

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _tell(self) -> None:
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()
