"""What does it say? The body of a relayed request: read within its bounds, then planned before it may wait."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.core.asgi import CLOSE, ASGIApp, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.errors import PayloadTooLargeError, UnavailableError, UnsupportedEncodingError
from gateway.core.lifeline import until_cut
from gateway.core.refusal import Refusal
from gateway.middleware.arrivals import Arrivals
from gateway.middleware.request_scope import leave

if TYPE_CHECKING:
    from gateway.middleware.settings import MiddlewareSettings

RETRY_SECS = 1.0
"""A refused body may find room again when a few others have been answered."""

UNCOMPRESSED = frozenset({b"", b"identity"})

Plan = Callable[[RequestContext], Awaitable[None] | None]
"""Plans at once, or gives what is to be awaited for it."""

_BODY = Phase.BODY


class NoRoomError(UnavailableError):
    """This worker holds MAX_HELD_BODY_BYTES of bodies already."""

    code = "too_many_bodies"
    refusal = Refusal.BODIES


class ReadBody:
    """Holds a relayed request's body, and has it planned: a mistake in it is told before it takes a slot.

    Args:
        app: the rest of the chain.
        bounds: the largest body that is read, how many bytes of bodies are held in all, and how slowly one may come.
        plan: decides from the body where the request goes; raises what is wrong with it.
    """

    def __init__(self, app: ASGIApp, bounds: "MiddlewareSettings", plan: Plan) -> None:
        self._app = app
        self._max_bytes = bounds.max_request_body_bytes
        self._max_held = bounds.max_held_body_bytes
        self._held = 0
        """Bytes of all bodies from their arrival to the end of their requests: a retry may need them until then."""
        self._arrivals = Arrivals(bounds.client_body_timeout_secs, bounds.client_body_total_secs)
        self._plan = plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read and plan, then go on; own endpoints read for themselves.

        A client that stalls or drips is cut, which the error boundary answers with 408.

        Raises:
            PayloadTooLargeError: by its Content-Length before a byte is read, or when the bound is reached.
            NoRoomError: the bodies held by this worker are too large together.
            UnsupportedEncodingError: the body is compressed.
        """
        ctx: RequestContext = scope[CONTEXT_KEY]
        if not ctx.endpoint.relayed:
            await self._app(scope, receive, send)
            return
        ctx.phase = _BODY
        if b"content-encoding" in ctx.fields:
            _check_encodings(ctx.fields[b"content-encoding"])
        body = ctx.connection.take_body() if ctx.connection is not None else None
        if body is None:
            body = await self._read(ctx, receive)
        else:
            self._hold(ctx, 0, len(body))
        try:
            ctx.body = body
            planning = self._plan(ctx)
            if planning is not None:
                await planning
            await self._app(scope, receive, send)
        finally:
            self._held -= len(body)

    async def _read(self, ctx: RequestContext, receive: Receive) -> bytes:
        """A body that is still coming: held when it is returned, and not when this raises."""
        if int(ctx.fields.get(b"content-length", b"0")) > self._max_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        held = 0
        arrivals = self._arrivals
        arrivals.begin(ctx)
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    # It left before anybody watched; a departure that is watched cuts `receive` itself.
                    leave(ctx)
                    await until_cut()
                part = message["body"]
                held = self._hold(ctx, held, len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    return part if len(parts) == 1 else b"".join(parts)
                if part:
                    arrivals.advance(ctx)
        except BaseException:  # a cancellation, too
            self._held -= held
            raise
        finally:
            arrivals.end(ctx)

    def _hold(self, ctx: RequestContext, held: int, size: int) -> int:
        """Count bytes that have come; what a client only announces takes no room from others.

        Returns how much of this body is held now. Bytes for which it raises are not.
        """
        ctx.bytes_in = whole = held + size
        if whole > self._max_bytes:
            raise self._too_large()
        if self._held + size > self._max_held:
            raise NoRoomError(
                "The gateway holds as many request bodies as it can.", retry_after=RETRY_SECS, headers=[CLOSE]
            )
        self._held += size
        return whole

    def _too_large(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(
            f"The request body is larger than {self._max_bytes} bytes.", should_retry=False, headers=[CLOSE]
        )


def _check_encodings(encodings: bytes) -> None:
    if not UNCOMPRESSED.issuperset(map(bytes.strip, encodings.lower().split(b","))):
        raise UnsupportedEncodingError("Compressed request bodies are not accepted.", headers=[CLOSE])
