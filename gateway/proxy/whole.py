"""How is a whole answer passed on? Small ones checked and sent at once, large ones piece by piece."""

from gateway.core.asgi import Headers, first_of
from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.payload.answer import rename_model
from gateway.proxy.client_side import ClientSide
from gateway.proxy.identity import Identities
from gateway.proxy.judging import JSON, check
from gateway.proxy.pieces import HOLD_BYTES, LONG_BYTES, relay_pieces
from gateway.proxy.planner import Plan
from gateway.upstream.protocol import Reply, Take


class BufferedReply:
    """A reply whose body was read already."""

    complete = True

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content_type = first_of(headers, b"content-type")
        self.content_length: int | None = len(body)
        self._body = body

    async def read(self) -> bytes:
        """The whole body, then nothing."""
        body, self._body = self._body, b""
        return body

    async def pour(self, take: Take) -> None:
        """The whole body at once."""
        take(await self.read())

    def close(self) -> None:
        """There is nothing to close."""

    def discard(self) -> None:
        """There is nothing to close."""


async def read_bounded(reply: Reply) -> bytes:
    """The body up to HOLD_BYTES; what is larger is no error message and raises BadGatewayError."""
    parts, size = [], 0
    while data := await reply.read():
        parts.append(data)
        size += len(data)
        if size > HOLD_BYTES:
            raise BadGatewayError("The model server's error answer was too large to be one.")
    return b"".join(parts)


async def relay_whole(ctx: RequestContext, reply: Reply, client: ClientSide, identities: Identities) -> None:
    """Pass a 200 on: renamed, counted, and never cut off looking complete.

    Raises:
        StatedError: it states an error; the client gets it with its own status.
        BadGatewayError: it is no answer (HTML in front of the server, an aborted generation), or another request's.
        MayHaveRun: the backend broke off.
    """
    body = await reply.read()
    content_type = reply.content_type
    if len(body) != reply.content_length or len(body) >= LONG_BYTES or not content_type.startswith(JSON):
        await relay_pieces(ctx, reply, client, body, identities)
        return
    check(ctx, reply, body, identities)
    plan: Plan = ctx.plan
    if plan.route.renamed:
        body = rename_model(body, plan.route.asked)
    await client.answer(reply.status, [(b"content-type", content_type)], body)
