"""May it start? A slot of the organization, and of the key where that has a limit, until the answer's last byte."""

from collections.abc import Awaitable

from gateway.admission.turnstile import Turnstile
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.observability.live import LiveGauges

_QUEUED = Phase.QUEUED


class Admission:
    """Holds a slot around whatever a relayed request does from here on, however it ends."""

    def __init__(self, app: ASGIApp, turnstile: Turnstile, gauges: LiveGauges) -> None:
        self._app = app
        self._turnstile = turnstile
        self._gauges = gauges

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Wait for a slot and go on.

        Raises:
            QueueFullError: too many of the organization's requests wait already.
            QueueTimeoutError: no slot became free in time.
        """
        ctx: RequestContext = scope[CONTEXT_KEY]
        if not ctx.endpoint.relayed:
            return self._app(scope, receive, send)
        if ctx.principal.concurrency:
            return self._hold_both(ctx, scope, receive, send)
        return self._hold(ctx, scope, receive, send)

    async def _hold(self, ctx: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        gauges = self._gauges
        ctx.phase = _QUEUED
        gauges.queued += 1
        try:
            grant = await self._turnstile.enter(ctx.organization)
        finally:
            gauges.queued -= 1
        gauges.in_flight += 1
        try:
            ctx.queue_wait = grant.waited if ctx.queue_wait is None else ctx.queue_wait + grant.waited
            await self._app(scope, receive, send)
        finally:
            gauges.in_flight -= 1
            self._turnstile.leave(grant)

    async def _hold_both(self, ctx: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        """The key's slot comes first: who waits for it keeps no slot of the organization's from others."""
        ctx.phase = _QUEUED
        self._gauges.queued += 1
        try:
            grant = await self._turnstile.enter_by_key(ctx.principal.key_id, ctx.principal.concurrency)
        finally:
            self._gauges.queued -= 1
        try:
            ctx.queue_wait = grant.waited
            await self._hold(ctx, scope, receive, send)
        finally:
            self._turnstile.leave(grant)
