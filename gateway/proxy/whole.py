"""How is a whole answer passed on? Small ones checked and sent at once, large ones piece by piece."""

from gateway.core.asgi import Headers, first_of
from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.core.usage import plausible
from gateway.payload.answer import UnreadableAnswerError, read_answer, rename_model
from gateway.payload.passing import Passing, PassingBytes, PassingJson
from gateway.payload.renaming import Renaming
from gateway.proxy.client_side import ClientSide
from gateway.proxy.identity import Identities
from gateway.proxy.planner import Plan
from gateway.proxy.verdict import stated_inside
from gateway.upstream.protocol import Reply, Take

HOLD_BYTES = 1024 * 1024
"""Answers up to this size are held until they are complete: a backend that breaks off then costs a clean 502 instead
of half an answer. Beyond it (a batch of embeddings) memory counts more."""
KEPT_HEADERS = frozenset({b"content-type", b"metadata"})
"""`metadata` describes vLLM's binary embeddings (`encoding_format: bytes`)."""
JSON = b"application/json"
BINARY = b"application/octet-stream"
NO_JSON = "The model server answered with something that is no whole JSON."
NO_END = "The model server's answer has no end."
STOPPED = "The model server stopped in the middle of this answer."


class BufferedReply:
    """A reply whose body was read already."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
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


async def relay_whole(
    ctx: RequestContext, reply: Reply, client: ClientSide, content_type: bytes, identities: Identities
) -> None:
    """Pass a 200 on: renamed, counted, and never cut off looking complete.

    Raises:
        StatedError: it states an error; the client gets it with its own status.
        BadGatewayError: it is no answer (HTML in front of the server, an aborted generation), or another request's.
        MayHaveRun: the backend broke off.
    """
    head, complete = await _read_head(reply)
    is_json = content_type.startswith(JSON) or content_type.lower().startswith(JSON)
    if is_json and complete:
        head = _checked(ctx, reply, head, identities)
    elif is_json or content_type.lower().startswith(BINARY):
        passing = _json(ctx, reply) if is_json else PassingBytes(first_of(reply.headers, b"metadata"))
        _look(ctx, passing, head)
        if not complete:
            await _relay_large(ctx, reply, client, head, passing, identities)
            return
        _check_end(passing)
    else:
        raise BadGatewayError(NO_JSON)
    await client.begin(reply.status, [*_kept(reply), (b"content-length", b"%d" % len(head))])
    await client.end(head)


async def _relay_large(
    ctx: RequestContext, reply: Reply, client: ClientSide, head: bytes, passing: Passing, identities: Identities
) -> None:
    """Pass on what is not held: a failure that shows after the head went out leaves the answer without its end."""
    plan: Plan = ctx.plan
    renaming = None
    if isinstance(passing, PassingJson):
        identities.check(ctx, reply, head)
        renaming = Renaming(plan.route.asked) if plan.route.renamed else None
    await client.begin(reply.status, _kept(reply))
    await client.pass_on(head if renaming is None else renaming.feed(head))
    while data := await reply.read():
        _look(ctx, passing, data)
        await client.pass_on(data if renaming is None else renaming.feed(data))
    _check_end(passing)
    await client.end(b"" if renaming is None else renaming.rest())


def _json(ctx: RequestContext, reply: Reply) -> PassingJson:
    return PassingJson(ctx.dialect, framed=reply.content_length is not None)


def _look(ctx: RequestContext, passing: Passing, data: bytes) -> None:
    """Look at a piece before it goes out; what was stated so far is booked however the request ends."""
    passing.feed(data)
    ctx.usage = plausible(passing.usage)
    if passing.broken:
        raise BadGatewayError(STOPPED)


def _check_end(passing: Passing) -> None:
    if not passing.whole():
        raise BadGatewayError(NO_END)


def _checked(ctx: RequestContext, reply: Reply, body: bytes, identities: Identities) -> bytes:
    """A whole JSON answer as the client may see it."""
    try:
        answer = read_answer(body)
    except UnreadableAnswerError:
        raise BadGatewayError(NO_JSON) from None
    ctx.usage = plausible(answer.usage)
    if answer.failed:
        raise stated_inside(body)
    if answer.aborted:
        raise BadGatewayError(STOPPED)
    identities.check(ctx, reply, body)
    return _renamed(ctx, body)


def _renamed(ctx: RequestContext, body: bytes) -> bytes:
    plan: Plan = ctx.plan
    return rename_model(body, plan.route.asked) if plan.route.renamed else body


def _kept(reply: Reply) -> Headers:
    return [(name, value) for name, value in reply.headers if name in KEPT_HEADERS]


async def _read_head(reply: Reply) -> tuple[bytes, bool]:
    first = await reply.read()
    if reply.content_length == len(first):
        return first, True
    parts, size = [first], len(first)
    while data := await reply.read():
        parts.append(data)
        size += len(data)
        if size > HOLD_BYTES:
            return b"".join(parts), False
    return b"".join(parts), True
