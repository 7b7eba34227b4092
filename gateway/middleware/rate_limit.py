"""Has it asked too often? One token of the organization's bucket per request, and the headers that say so."""

from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.endpoint import Access
from gateway.limits.token_bucket import RateLimiter

_OPEN = Access.OPEN


class RateLimit:
    """Takes a token, or refuses with the time at which one will be there."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or raise RateLimitedError."""
        ctx: RequestContext = scope[CONTEXT_KEY]
        if ctx.endpoint.access is not _OPEN:
            await self._limiter.take(ctx.organization, ctx.answer_headers)
        await self._app(scope, receive, send)
