"""How is a stream passed on? One loop: bytes in, what the client may see out, until it ends or fails."""

import asyncio

from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.core.usage import plausible
from gateway.proxy.client_side import ClientSide
from gateway.proxy.identity import Identities
from gateway.proxy.ping import Pinger
from gateway.proxy.verdict import StatedError, only_error, stated_inside
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
    tokens = 0
    known = False
    try:
        while True:
            data = await reply.read()
            piece = relay.feed(data)
            if not data:
                relay.finish()
            if relay.tokens != tokens:
                tokens = relay.tokens
                client.note_token()
            if piece:
                if pinger is not None:
                    await pinger.stop()
                told = relay.failure is not None and relay.failure.told
                if told and not ctx.event_stream and (error := only_error(piece)):
                    raise error
                if not known and b"data:" in piece:
                    identities.check(ctx, reply, piece)
                    known = True
                await client.begin_events()
                ctx.failure_told = told
                await (client.end(piece) if relay.ended else client.pass_on(piece))
            if relay.failure is not None:
                raise _broken(relay.failure)
            if relay.ended:
                break
    finally:
        ctx.usage = plausible(relay.usage)
    await _read_tail(reply)


def _broken(failure: StreamFailure) -> BadGatewayError | StatedError:
    """What is said of it: the backend's own words where it had any that were not passed on."""
    if failure.stated:
        return stated_inside(failure.stated)
    return StreamBrokenError("The model server broke off this answer.", should_retry=False)


async def _read_tail(reply: Reply) -> None:
    try:
        async with asyncio.timeout(TAIL_SECS):
            await reply.read()
    except (TimeoutError, UpstreamError):
        return
