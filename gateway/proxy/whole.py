"""How is a whole answer passed on? Small ones checked and sent at once, large ones piece by piece."""

from gateway.core.context import RequestContext
from gateway.payload.answer import rename_model
from gateway.proxy.client_side import ClientSide
from gateway.proxy.identity import Identities
from gateway.proxy.judging import JSON, check
from gateway.proxy.pieces import LONG_BYTES, relay_pieces
from gateway.upstream.protocol import Reply


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
    plan = ctx.plan
    if plan.route.renamed:
        body = rename_model(body, plan.route.asked)
    await client.answer(reply.status, [(b"content-type", content_type)], body)
