"""What does it say? The body of a relayed request: read within its bounds, then planned before it may wait."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.core.asgi import ASGIApp, Headers, Receive, Scope, Send
from gateway.core.context import CONTEXT_KEY, Phase, RequestContext
from gateway.core.errors import BadRequestError, BodyTimeoutError, PayloadTooLargeError, UnsupportedEncodingError

CLOSE = (b"connection", b"close")
"""What a client still sends after a refusal would be read as its next request."""

Plan = Callable[[RequestContext], Awaitable[None]]


class ReadBody:
    """Holds a relayed request's body, and has it planned: a mistake in it is told before it takes a slot.

    Args:
        app: the rest of the chain.
        max_bytes: the largest body that is read.
        timeout: seconds that may pass without a byte of an incomplete body.
        plan: decides from the body where the request goes; raises what is wrong with it.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout: float, plan: Plan) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._plan = plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read and plan, then go on; own endpoints read for themselves.

        Raises:
            PayloadTooLargeError: by its Content-Length before a byte is read, or when the bound is reached.
            UnsupportedEncodingError: the body is compressed.
            BodyTimeoutError: the client stalled.
        """
        ctx: RequestContext = scope[CONTEXT_KEY]
        if ctx.endpoint.relayed:
            ctx.phase = Phase.BODY
            self._check_head(scope["headers"])
            ctx.body = await self._read(receive)
            ctx.bytes_in = len(ctx.body)
            await self._plan(ctx)
        await self._app(scope, receive, send)

    def _check_head(self, headers: Headers) -> None:
        for name, value in headers:
            if name == b"content-length" and int(value) > self._max_bytes:
                raise self._too_large()
            if name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
                raise UnsupportedEncodingError("Compressed request bodies are not accepted.", headers=[CLOSE])

    async def _read(self, receive: Receive) -> bytes:
        message = await self._next(receive)
        if not message.get("more_body"):
            body: bytes = message["body"]
            return self._bounded(body, len(body))
        parts, size = [message["body"]], len(message["body"])
        while message.get("more_body"):
            message = await self._next(receive)
            parts.append(message["body"])
            size += len(message["body"])
            self._bounded(b"", size)
        return b"".join(parts)

    async def _next(self, receive: Receive) -> dict[str, bytes]:
        try:
            async with asyncio.timeout(self._timeout):
                message = await receive()
        except TimeoutError:
            raise BodyTimeoutError("The request's body did not arrive in time.", headers=[CLOSE]) from None
        if message["type"] == "http.disconnect":
            # The watcher cuts this request in the same turn of the loop; without one, the request ends here.
            raise BadRequestError("The client left before its request was complete.")
        return dict(message)

    def _bounded(self, body: bytes, size: int) -> bytes:
        if size > self._max_bytes:
            raise self._too_large()
        return body

    def _too_large(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(
            f"The request body is larger than {self._max_bytes} bytes.", should_retry=False, headers=[CLOSE]
        )
