"""How does a request end that went wrong? The one place that turns failures into answers, before or in a stream."""

import asyncio
from collections.abc import Callable

from gateway.core.asgi import CLOSE, ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.envelope import error_body, error_event, error_headers
from gateway.core.errors import (
    BodyTimeoutError,
    FirstTokenTimeoutError,
    GatewayError,
    RequestLifetimeError,
    ShuttingDownError,
    StreamIdleError,
)
from gateway.core.events import EventLog
from gateway.core.lifeline import Cut

FAREWELL_SECS = 2.0
"""How long a request waits for its client to take its last words; the server goes on trying to deliver them."""
FAREWELLS: dict[Cut, Callable[[], GatewayError]] = {
    Cut.BODY_STALLED: lambda: BodyTimeoutError("The request's body did not arrive in time.", headers=[CLOSE]),
    Cut.LIFETIME: lambda: RequestLifetimeError("The request exceeded the time a request may live.", should_retry=False),
    Cut.FIRST_TOKEN: lambda: FirstTokenTimeoutError("The model produced no token in time.", should_retry=False),
    Cut.IDLE: lambda: StreamIdleError("The model stopped producing tokens.", should_retry=False),
    Cut.SHUTDOWN: lambda: ShuttingDownError("The gateway is shutting down.", should_retry=False),
}
"""What a client is told when its request is cut; whoever left or does not read is told nothing."""


class ErrorBoundary:
    """Renders every expected failure, and an unexpected one without its details."""

    def __init__(self, app: ASGIApp, log: EventLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the rest of the chain; raise nothing but a cancellation that is not ours."""
        ctx: RequestContext = scope[CONTEXT_KEY]
        try:
            await self._app(scope, receive, send)
        except GatewayError as error:
            await self._tell(ctx, error, send)
        except asyncio.CancelledError:
            if not ctx.lifeline.mended():
                raise
            await self._end_cut(ctx, send)
        except Exception:  # noqa: BLE001 -- the boundary: a bug costs its own request an answer, nobody else anything
            self._log.exception("request_failed", request_id=ctx.request_id)
            await self._tell(ctx, GatewayError("The gateway met an unexpected condition."), send)

    async def _end_cut(self, ctx: RequestContext, send: Send) -> None:
        reason = ctx.lifeline.reason
        if ctx.answer_complete and reason is not Cut.SLOW_CLIENT:
            return
        farewell = FAREWELLS.get(reason) if reason is not None else None
        if farewell is not None:
            await self._tell(ctx, farewell(), send)
        elif reason is Cut.SLOW_CLIENT and ctx.connection is not None:
            ctx.connection.drop()
        else:
            _abort(ctx)
        ctx.outcome = reason or ctx.outcome

    async def _tell(self, ctx: RequestContext, error: GatewayError, send: Send) -> None:
        """Say it while the client listens; its departure in the middle of that ends the matter."""
        ctx.outcome = error.outcome
        ctx.refusal = error.refusal
        try:
            async with asyncio.timeout(FAREWELL_SECS):
                await (self._break_off(ctx, error, send) if ctx.answer_started else self._answer(ctx, error, send))
        except TimeoutError:
            _abort(ctx)
        except asyncio.CancelledError:
            if not ctx.lifeline.mended():
                raise

    async def _answer(self, ctx: RequestContext, error: GatewayError, send: Send) -> None:
        body = error_body(error, ctx.dialect, ctx.request_id)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *error.headers,
            *error_headers(error),
        ]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _break_off(self, ctx: RequestContext, error: GatewayError, send: Send) -> None:
        """The headers are gone: a stream gets its error event, and the body stays incomplete in any case."""
        try:
            if ctx.event_stream and not (ctx.failure_told or ctx.answer_complete):
                event = error_event(error, ctx.dialect, ctx.request_id)
                await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            _abort(ctx)


def _abort(ctx: RequestContext) -> None:
    if ctx.connection is not None:
        ctx.connection.abort()
