"""May it start? A slot of the organization, held until the answer's last byte."""

from gateway.admission.turnstile import Turnstile
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.observability.live import LiveGauges

# Read once: see core/context.py.
_QUEUED = Phase.QUEUED


class Admission:
    """Holds a slot around whatever a relayed request does from here on, however it ends."""

    def __init__(self, app: ASGIApp, turnstile: Turnstile, gauges: LiveGauges) -> None:
        self._app = app
        self._turnstile = turnstile
        self._gauges = gauges

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for a slot and go on.

        Raises:
            QueueFullError: too many of the organization's requests wait already.
            QueueTimeoutError: no slot became free in time.
        """
        ctx: RequestContext = scope[CONTEXT_KEY]
        if not ctx.endpoint.relayed:
            await self._app(scope, receive, send)
            return
        gauges = self._gauges
        ctx.phase = _QUEUED
        gauges.queued += 1
        try:
            grant = await self._turnstile.enter(ctx.organization)
        finally:
            gauges.queued -= 1
        gauges.in_flight += 1
        try:
            ctx.queue_wait = grant.waited
            await self._app(scope, receive, send)
        finally:
            gauges.in_flight -= 1
            self._turnstile.leave(grant)
