"""Since when does it wait? The moment at which a request comes to its queue, for the trace that shows the wait."""

from collections.abc import Awaitable

from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.tracing.tracer import Tracer


class QueueClock:
    """Stands before the slot where traces are on; there is none where they are off."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Note it and go on."""
        ctx: RequestContext = scope[CONTEXT_KEY]
        if ctx.endpoint.relayed:
            self._tracer.enter(ctx)
        return self._app(scope, receive, send)
