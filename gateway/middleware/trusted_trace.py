"""May its client say that it is recorded? Whoever has shown a key may, by the `traceparent` that came with it."""

from collections.abc import Awaitable

from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.endpoint import Access
from gateway.tracing.tracer import Tracer

_KEY = Access.KEY


class TrustedTrace:
    """Stands behind `Authenticate` where traces are on: who is refused there, or asks without a key, is a stranger."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Note it and go on."""
        ctx: RequestContext = scope[CONTEXT_KEY]
        if ctx.trace_id is not None and ctx.endpoint.access is _KEY:
            self._tracer.admit(ctx)
        return self._app(scope, receive, send)
