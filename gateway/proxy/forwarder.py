"""How does a request get its answer? One function from a planned request to the answer's last byte."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from gateway.core.asgi import Send
from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.proxy.buffered import read_bounded
from gateway.proxy.client_side import ClientSide
from gateway.proxy.dispatcher import Dispatcher
from gateway.proxy.error_answer import stated, translate
from gateway.proxy.fallback import Fallbacks
from gateway.proxy.identity import Identities
from gateway.proxy.ping import PING, Pinger
from gateway.proxy.stream import relay_stream
from gateway.proxy.unavailable import NoBackendError
from gateway.proxy.watchdog import Rounds
from gateway.proxy.whole import relay_whole
from gateway.streaming.relay import StreamRelay
from gateway.streaming.usage import UsageCut
from gateway.upstream.protocol import Reply

if TYPE_CHECKING:
    from gateway.proxy.settings import ProxySettings

EVENT_STREAM = b"text/event-stream"
JSON_HEAD = (b"content-type", b"application/json")
MAY_HAVE_RUN = (b"x-should-retry", b"false")
"""A backend that failed may have spent its GPU on the request: SDKs would otherwise repeat it at 500 and above."""

_OK = HTTPStatus.OK


class StreamMeans(NamedTuple):
    """By what streams are relayed.

    Attributes:
        max_event_bytes: the largest event that is held for its end.
        gaps: of a group, what is told of the seconds between pieces that carry tokens.
    """

    max_event_bytes: int
    gaps: Callable[[str], Callable[[float], None]]


class Forwarder:
    """Relays planned requests.

    Args:
        dispatcher: opens a reply at one of the group's backends.
        fallbacks: opens one at another group where none of them takes the request.
        settings: the caps.
        client_write_secs: the cap on a client that takes nothing, which the server keeps too.
        streams: by what they are relayed.
        clock: for the caps and the time of the first token.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        fallbacks: Fallbacks,
        settings: "ProxySettings",
        *,
        client_write_secs: float,
        streams: StreamMeans,
        clock: Clock,
    ) -> None:
        self._dispatcher = dispatcher
        self._attempts = dispatcher.attempts
        self._fallbacks = fallbacks
        self._max_event_bytes, self._gaps = streams
        self._settings = settings
        self._clock = clock
        self._identities = Identities()
        self._rounds = Rounds(settings, client_write_secs, clock, dispatcher.attempts.alive)

    async def forward(self, ctx: RequestContext, send: Send) -> None:
        """Answer one request.

        Every resource is a scope that a cut unwinds: the backend's connection is closed at once, which is what frees
        its GPU. Failures are raised; the error boundary says them to the client.

        Raises:
            GatewayError: no backend took it, a backend broke off, or its answer cannot be trusted.
        """
        plan = ctx.plan
        watchdog = self._rounds.watch(ctx)
        pinger = None
        try:
            client = ClientSide(ctx, send, watchdog, self._clock)
            if ctx.streamed:
                watchdog.expect_tokens()
                client.note_gap = self._gaps(ctx.group)
                pinger = self._pinger_for(client)
            try:
                attempt = await self._dispatcher.open(ctx, plan)
            except NoBackendError as refusal:
                attempt = await self._fallbacks.open(ctx, plan, refusal)
            try:
                if attempt.trial:
                    client.on_first_token = partial(self._attempts.prove, attempt)
                await self._answer(ctx, attempt.reply, client, pinger)
            except BaseException as failure:
                self._attempts.fail(attempt, ctx, failure)
                raise
            finally:
                self._attempts.close(attempt)
        finally:
            self._rounds.forget(watchdog)
            if pinger is not None:
                pinger.abandon()

    def _pinger_for(self, client: ClientSide) -> Pinger | None:
        if not self._settings.stream_ping_secs:
            return None
        pinger = Pinger(lambda: client.pass_events(PING), self._settings.stream_ping_secs, self._clock)
        pinger.start()
        return pinger

    def _answer(self, ctx: RequestContext, reply: Reply, client: ClientSide, pinger: Pinger | None) -> Awaitable[None]:
        if reply.status != _OK:
            return self._pass_error(ctx, reply, client, pinger)
        if not ctx.streamed:
            return relay_whole(ctx, reply, client, self._identities)
        if reply.content_type[: len(EVENT_STREAM)].lower() == EVENT_STREAM:
            return relay_stream(ctx, reply, self._relay_for(ctx), client, pinger, self._identities)
        raise BadGatewayError("The model server answered with something that is no event stream.")

    def _relay_for(self, ctx: RequestContext) -> StreamRelay:
        plan = ctx.plan
        peeked, route = plan.peeked, plan.route
        return StreamRelay(
            ctx.dialect,
            model=route.asked if route.renamed else None,
            cut_usage=UsageCut.for_request(
                include_usage=peeked.include_usage, continuous_usage=peeked.continuous_usage
            ),
            choices_per_prompt=peeked.n,
            max_event_bytes=self._max_event_bytes,
        )

    async def _pass_error(self, ctx: RequestContext, reply: Reply, client: ClientSide, pinger: Pinger | None) -> None:
        if reply.status < HTTPStatus.BAD_REQUEST:
            raise BadGatewayError("The model server answered with a status that no answer of a model has.")
        raw = await read_bounded(reply)
        if pinger is not None:
            await pinger.stop()
        if ctx.event_stream:
            raise stated(reply.status, raw)
        body = translate(reply.status, raw, ctx.dialect, ctx.request_id)
        ctx.outcome = f"backend_{reply.status}"
        headers = [JSON_HEAD]
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            headers.append(MAY_HAVE_RUN)
        await client.answer(reply.status, headers, body)
