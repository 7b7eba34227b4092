"""How is a stream passed on? One loop: bytes in, what the client may see out, until it ends or fails."""

import asyncio
from collections.abc import Callable

from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.core.usage import plausible
from gateway.proxy.client_side import ClientSide
from gateway.proxy.error_answer import StatedError, only_error, stated_inside
from gateway.proxy.identity import Identities
from gateway.proxy.ping import Pinger
from gateway.proxy.watchdog import Watchdog
from gateway.streaming.events import StreamFailure
from gateway.streaming.relay import StreamRelay
from gateway.upstream.errors import UpstreamError
from gateway.upstream.protocol import Reply

TAIL_SECS = 0.5
"""How long the end of the body may lag behind the stream's last event before the connection is given up: uvicorn
sends both in packets of their own, and a connection that is not read to its end cannot be used again."""


class StreamBrokenError(BadGatewayError):
    """The backend's stream ended without the end that its dialect demands, or said itself that it failed."""

    code = "stream_broken"


async def relay_stream(
    ctx: RequestContext,
    reply: Reply,
    relay: StreamRelay,
    client: ClientSide,
    pinger: Pinger | None,
    identities: Identities,
) -> None:
    """Pass a stream on, each piece as it comes; return when it has ended as its dialect demands.

    The head waits for the first piece: a backend that breaks off before it costs a clean 502.

    Raises:
        ForeignAnswerError: it is the answer to another request.
        StreamBrokenError: the stream failed; nothing that looks like a success was passed on.
        StatedError: an error came before anything else, and the client gets it with its own status; or it is spelled
            as the dialect does not, and is said again.
        MayHaveRun: the backend broke off.
    """
    known = False
    incoming = _Incoming(reply, relay, client)
    try:
        while True:
            piece = await incoming.next()
            if piece:
                if pinger is not None:
                    await pinger.stop()
                told = relay.failure is not None and relay.failure.told
                if told and not ctx.event_stream and (error := only_error(piece)):
                    raise error
                if not known and b"data:" in piece:
                    identities.check(ctx, reply, piece)
                    known = True
                ctx.failure_told = told
                await client.pass_events(piece, last=relay.ended)
            if relay.failure is not None:
                raise _broken(relay.failure)
            if relay.ended:
                break
            if known:
                incoming.pour()
    finally:
        ctx.usage = plausible(relay.usage)
        ctx.token_events = relay.tokens
        ctx.finish_reason = relay.finish_reason
        ctx.bytes_out += incoming.pushed
    await _read_tail(reply)


class _Incoming:
    """The pieces of a stream that its loop has to look at.

    Once the head is out and nothing is left to be decided, what needs no look goes on in the call that brought it from
    the backend, which costs half of waking the loop for it.

    Attributes:
        pushed: bytes that went on so.
    """

    __slots__ = (
        "_client",
        "_feed_usual",
        "_full",
        "_kept",
        "_note_gap",
        "_now",
        "_pours",
        "_push",
        "_relay",
        "_reply",
        "_watchdog",
        "pushed",
    )

    def __init__(self, reply: Reply, relay: StreamRelay, client: ClientSide) -> None:
        self._reply = reply
        self._relay = relay
        self._client = client
        self._full = False
        self._kept: bytes | None = None
        self._pours = False
        # What `_take` needs is looked up once, when it is known that pieces will be poured.
        self._push: Callable[[bytes], bool]
        self._feed_usual: Callable[[bytes], bytes]
        self._now: Callable[[], float]
        self._note_gap: Callable[[float], None]
        self._watchdog: Watchdog
        self.pushed = 0

    def pour(self) -> None:
        """From here on nothing is left to be decided: pieces go on as they come, where the server has a way for it."""
        client = self._client
        push = client.pusher
        if push is None:
            return
        self._pours = True
        self._push = push
        self._feed_usual = self._relay.feed_usual
        self._now = client.clock.monotonic
        self._note_gap = client.note_gap
        self._watchdog = client.watchdog

    async def next(self) -> bytes:
        """What may go out now, possibly nothing; the relay says whether it is the last."""
        if not self._pours:
            data = await self._reply.read()
            if data:
                return self._read(data, self._relay.feed)
            self._relay.finish()
            return b""
        while True:
            await self._reply.pour(self._take)
            if self._kept is not None:
                return self._kept
            if not self._full:
                self._relay.finish()
                return b""
            self._full = False
            await self._client.room()

    def _read(self, data: bytes, feed: Callable[[bytes], bytes]) -> bytes:
        before = self._relay.tokens
        piece = feed(data)
        if self._relay.tokens != before:
            self._client.note_token()
        return piece

    def _take(self, data: bytes) -> bool:
        """Pass a piece on at once, unless it is the stream's end or failure; whether more may come."""
        # Looked up before they are called: CPython 3.11 would seek methods of these names, 120 instructions for each.
        feed_usual, now, push = self._feed_usual, self._now, self._push
        piece = feed_usual(data)
        if piece:
            at, dog, note_gap = now(), self._watchdog, self._note_gap
            note_gap(at - dog.token_at)  # type: ignore[operator]  # not the first: the relay knows the usual from another
            dog.token_at = at
        else:
            piece = self._read(data, self._relay.feed_unusual)
            if self._relay.ended or self._relay.failure is not None:
                self._kept = piece
                return False
            if not piece:
                return True
        self.pushed += len(piece)
        if push(piece):
            return True
        self._full = True
        return False


def _broken(failure: StreamFailure) -> BadGatewayError | StatedError:
    """What is said of it: the backend's own words where it had any that were not passed on."""
    if failure.stated:
        return stated_inside(failure.stated)
    return StreamBrokenError("The model server broke off this answer.", should_retry=False)


async def _read_tail(reply: Reply) -> None:
    if reply.complete:
        return  # as where the end came with the last event; a timer, even unused, costs 20,000 instructions
    try:
        async with asyncio.timeout(TAIL_SECS):
            await reply.read()
    except (TimeoutError, UpstreamError):
        return
