"""How does it reach the client? The answer's head and pieces, with the caps that a slow reader runs into."""

from collections.abc import Callable

from msgspec import Struct

from gateway.core.asgi import Headers, Send
from gateway.core.clock import Clock
from gateway.core.context import Phase, RequestContext
from gateway.core.structs import stored_plainly
from gateway.proxy.watchdog import Watchdog

EVENT_STREAM_HEAD: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
"""The last one tells an nginx that is not ours to pass events on as they come."""

_ANSWERING = Phase.ANSWERING


def _unheard(_: float) -> None:
    """Nobody counts gaps."""


@stored_plainly
class ClientSide(Struct, eq=False):  # made per request: see core/structs.py
    """One answer on its way out.

    Attributes:
        watchdog: who is told of progress.
        clock: what it reckons with.
        on_first_token: called once, when a token is on its way for the first time.
        note_gap: told of the seconds between each piece that carries tokens and the one before it.
    """

    _ctx: RequestContext
    _send: Send
    watchdog: Watchdog
    clock: Clock
    on_first_token: Callable[[], None] | None = None
    note_gap: Callable[[float], None] = _unheard

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer; its length is stated here."""
        ctx = self._ctx
        connection = ctx.connection
        if connection is None:
            await self.begin(status, [*headers, (b"content-length", b"%d" % len(body))])
            await self.end(body)
            return
        ctx.phase = _ANSWERING
        room = connection.answer(status, headers + ctx.answer_headers, body)
        ctx.answer_started = ctx.answer_complete = True
        ctx.status = status
        ctx.bytes_out = len(body)
        if not room:
            await self.room()

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head."""
        self._ctx.phase = _ANSWERING
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def pass_events(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of an event stream, with its head if it is the first, with its end if it is the last.

        Returns as `pass_on` does.
        """
        ctx = self._ctx
        connection = ctx.connection
        if connection is None:
            await self._send_events(data, last=last)
            return
        if ctx.event_stream:
            room = connection.finish(data) if last else connection.push(data)
        else:
            ctx.phase = _ANSWERING
            room = connection.start(200, EVENT_STREAM_HEAD + ctx.answer_headers, data)
            ctx.event_stream = ctx.answer_started = True
            ctx.status = 200
            if last:
                room = connection.finish(b"")
        ctx.bytes_out += len(data)
        ctx.answer_complete = last
        if not room:
            await self.room()

    async def _send_events(self, data: bytes, *, last: bool) -> None:
        if not self._ctx.event_stream:
            self._ctx.event_stream = True
            await self.begin(200, EVENT_STREAM_HEAD)
        await (self.end(data) if last else self.pass_on(data))

    def note_token(self) -> None:
        """A token is on its way to the client."""
        now = self.clock.monotonic()
        before = self.watchdog.token_at
        self.watchdog.progress(now)
        if before is not None:
            self.note_gap(now - before)
            return
        self._ctx.first_token_at = now
        if self.on_first_token is not None:
            self.on_first_token()

    async def pass_on(self, data: bytes) -> None:
        """Send a piece; returns when the client has room for the next, so that a slow one slows its backend."""
        self.watchdog.writing(self.clock.monotonic())
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self.watchdog.written()

    @property
    def pusher(self) -> Callable[[bytes], bool] | None:
        """What sends a piece at once, and says whether there is room for more: False, wait for `room` first.

        Who sends by it counts the bytes. None where the server has no way to send without waiting.
        """
        connection = self._ctx.connection
        return None if connection is None else connection.push

    async def room(self) -> None:
        """Wait until the client takes more; meanwhile its own cap counts."""
        connection = self._ctx.connection
        assert connection is not None  # noqa: S101 -- as in `pusher`
        self.watchdog.writing(self.clock.monotonic())
        await connection.room()
        self.watchdog.written()

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece and complete the answer."""
        self.watchdog.writing(self.clock.monotonic())
        await self._send({"type": "http.response.body", "body": data})
        self.watchdog.written()
