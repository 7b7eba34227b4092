"""How is one request handed to the application, and its answer to the socket? ASGI's receive and send."""

import asyncio
import logging
import secrets
from collections.abc import Callable

from msgspec import field

from gateway.core.asgi import ASGIApp, Message, Scope
from gateway.core.errors import GatewayError
from gateway.core.structs import stored_plainly
from gateway.server.answer_writer import AnswerWriter
from gateway.server.refusal import refusal

logger = logging.getLogger(__name__)


@stored_plainly
class Exchange(AnswerWriter, eq=False):
    """One request and its answer; also the request's `core.asgi.ClientConnection`.

    Attributes:
        task: what runs it; None before its beginning.
        parts: what has come of the request's body and was not yet received by the application: joined when it is
            received, as a body may come in a thousand parts at once.
        waiting: bytes of that.
    """

    task: "asyncio.Task[None] | None" = None
    parts: list[bytes] = field(default_factory=list)
    waiting: int = 0
    _on_gone: Callable[[], None] | None = None
    _broken: GatewayError | None = None
    """Why the rest of the body will never come, though the client is there to be told."""
    _expects_continue: bool = False
    _body_received: bool = False

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
                logger.exception("application_failed")
            self._give_up()
        else:
            if not self.complete and not self.gone:
                logger.error("answer_not_completed")
                self._give_up()
        finally:
            assert self.task is not None  # noqa: S101 -- set before the task's first step
            running.discard(self.task)

    # What the connection tells.

    def feed(self, data: bytes) -> None:
        """More of the request's body has come."""
        self.parts.append(data)
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

    @property
    def slow(self) -> bool:
        """Whether the client's socket is gone because it took nothing. See `core.asgi.ClientConnection`."""
        return self._wire.slow

    def take_body(self) -> bytes | None:
        """The whole body, if it has come and was not received. See `core.asgi.ClientConnection`."""
        if self.more_body or self._body_received or self._expects_continue or self.gone:
            return None
        self._body_received = True
        self.waiting = 0
        parts = self.parts
        return parts.pop() if len(parts) == 1 else self._joined()

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
        self._end_without_end()
        self.cut()

    def untaken(self) -> int:
        """Bytes of what was written that the client's kernel has not taken. See `core.asgi.ClientConnection`."""
        return 0 if self.gone else self._wire.undelivered()

    def drop(self) -> None:
        """Reset the socket, with all that the client has not taken; when it has taken all, as `abort`."""
        if not self.gone and self._wire.untaken():
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
                parts = self.parts
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
            self.write(message.get("body", b""), more=message.get("more_body", False))
            if self._wire.congested:
                await self._wire.relieved()
        elif kind == "http.response.start" and not self.started:
            self.begin(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{kind} has no place at this point of an answer")

    def _joined(self) -> bytes:
        body = b"".join(self.parts)
        self.parts.clear()
        return body

    def _end_without_end(self) -> None:
        self.gone = True
        self._on_gone = None
        self._wake()

    def _give_up(self) -> None:
        if self.started or self.gone:
            self.abort()
            return
        self.started = self.complete = True
        self.keep_alive = False
        error = self._broken or GatewayError("The gateway failed to answer this request.")
        self._wire.end(b"", refusal(error, secrets.token_hex(16), self._wire.date_line()))

    def _tell(self) -> None:
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()
