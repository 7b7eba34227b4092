"""May it start? A slot of the organization, held until the answer's last byte."""

from gateway.admission.turnstile import Turnstile
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.clock import Clock
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext


class Admission:
    """Holds a slot around whatever a relayed request does from here on, however it ends."""

    def __init__(self, app: ASGIApp, turnstile: Turnstile, clock: Clock) -> None:
        self._app = app
        self._turnstile = turnstile
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a slot and go on, or raise QueueFullError or QueueTimeoutError."""
        ctx: RequestContext = scope[CONTEXT_KEY]
        if not ctx.endpoint.relayed:
            await self._app(scope, receive, send)
            return
        ctx.phase = Phase.QUEUED
        async with self._turnstile.slot(ctx.organization) as grant:
            ctx.queue_wait = grant.waited
            await self._app(scope, receive, send)
