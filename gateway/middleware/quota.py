"""May it use so much? What it may take is set aside before it may wait, and settled when it has ended."""

from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.limits.quotas import Quotas


class Quota:
    """Reserves around whatever a relayed request does from here on, however it ends."""

    def __init__(self, app: ASGIApp, quotas: Quotas) -> None:
        self._app = app
        self._quotas = quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set aside, go on, and settle.

        Raises:
            QuotaExceededError: a quota of the calendar has too little left.
            RateLimitedError: a limit per minute has too little left now.
        """
        ctx: RequestContext = scope[CONTEXT_KEY]
        if not ctx.endpoint.relayed:
            await self._app(scope, receive, send)
            return
        quotas = self._quotas
        reservation = quotas.draw(ctx) or await quotas.reserve(ctx)
        try:
            await self._app(scope, receive, send)
        except BaseException as failure:  # a cancellation, too
            quotas.settle(ctx, reservation, failure)
            raise
        quotas.settle(ctx, reservation, None)
