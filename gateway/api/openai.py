"""Who answers? A backend for relayed paths, the gateway itself for its own."""

from collections.abc import Awaitable, Callable

from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext

Forward = Callable[[RequestContext, Send], Awaitable[None]]


class Handler:
    """The chain's innermost application.

    Relayed requests pass FastAPI by: its routing would cost more than everything else on the way (170 us a request
    on one core, measured beside raw ASGI with the same middlewares).

    Args:
        forward: answers a planned request from a backend.
        own: answers our own paths (`api/own.py`).
    """

    def __init__(self, forward: Forward, own: ASGIApp) -> None:
        self._forward = forward
        self._own = own

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What answers one request that has passed the door: no coroutine of its own around it."""
        ctx: RequestContext = scope[CONTEXT_KEY]
        return self._forward(ctx, send) if ctx.endpoint.relayed else self._own(scope, receive, send)
