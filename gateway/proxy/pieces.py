"""How is an answer passed on that is long, or comes in pieces? Held up to a bound, judged, not copied together."""

from collections.abc import Sequence
from typing import Final

from gateway.core.asgi import first_of
from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.core.usage import plausible
from gateway.payload.answer import rename_head, rename_model
from gateway.payload.outline import outline
from gateway.payload.passing import EDGE_BYTES, Passing, PassingBytes, PassingJson
from gateway.payload.renaming import Renaming
from gateway.proxy.client_side import ClientSide
from gateway.proxy.identity import Identities
from gateway.proxy.judging import BINARY, JSON, NO_END, NO_JSON, STOPPED, check, kept
from gateway.upstream.protocol import Reply

HOLD_BYTES: Final = 1024 * 1024
"""Answers up to this size are held until they are complete: a backend that breaks off then costs a clean 502 instead
of half an answer. Beyond it (a batch of embeddings) memory counts more."""
LONG_BYTES: Final = 32 * 1024
"""Answers from this size on are judged by their outline where they have one: all of it takes 1 us a KiB."""


class _Held:
    """What has come of an answer and not gone out.

    Attributes:
        parts: its bytes as they came; the first of several has `EDGE_BYTES` or more.
        complete: nothing of it is missing.
    """

    def __init__(self, first: bytes) -> None:
        self.parts = [first]
        self.complete = True
        self._size = len(first)

    def take(self, data: bytes) -> bool:
        """Keep a piece; whether there is room for more."""
        if len(self.parts[-1]) < EDGE_BYTES:
            self.parts[-1] += data
        else:
            self.parts.append(data)
        self._size += len(data)
        self.complete = self._size <= HOLD_BYTES
        return self.complete


async def relay_pieces(
    ctx: RequestContext, reply: Reply, client: ClientSide, first: bytes, identities: Identities
) -> None:
    """Pass a 200 on of which `first` has come; raises what `whole.relay_whole` does."""
    held = _Held(first)
    await reply.pour(held.take)
    kind = reply.content_type.lower()
    if held.complete and kind.startswith(JSON):
        parts = _judged(ctx, reply, held.parts, identities)
    elif kind.startswith((JSON, BINARY)):
        parts = held.parts
        passing = _passing(ctx, reply, kind)
        for part in parts:
            _look(ctx, passing, part)
        if not held.complete:
            await _relay_on(ctx, reply, client, parts, passing, identities)
            return
        _check_end(passing)
    else:
        raise BadGatewayError(NO_JSON)
    await client.begin(reply.status, [*kept(reply), _length(sum(map(len, parts)))])
    for part in parts[:-1]:
        await client.pass_on(part)
    await client.end(parts[-1])


def _judged(ctx: RequestContext, reply: Reply, parts: list[bytes], identities: Identities) -> list[bytes]:
    """The pieces of a whole JSON answer as the client may see them."""
    framed = reply.content_length is not None and reply.content_length >= LONG_BYTES
    document = outline(parts) if framed else None
    if document is None:
        document = b"".join(parts)
        parts = [document]
    check(ctx, reply, document, identities)
    plan = ctx.plan
    if plan.route.renamed:
        parts = _renamed(parts, plan.route.asked)
    return parts


def _renamed(parts: list[bytes], name: str) -> list[bytes]:
    """The model's name stands in the first piece, where vLLM puts it, or is sought in all of them."""
    first = rename_head(parts[0], name)
    return [rename_model(b"".join(parts), name)] if first is None else [first, *parts[1:]]


async def _relay_on(
    ctx: RequestContext,
    reply: Reply,
    client: ClientSide,
    parts: Sequence[bytes],
    passing: Passing,
    identities: Identities,
) -> None:
    """Pass on what is not held: a failure that shows after the head went out leaves the answer without its end."""
    plan = ctx.plan
    renaming = None
    size = reply.content_length
    if isinstance(passing, PassingJson):
        identities.check(ctx, reply, parts[0])
        if plan.route.renamed:
            renaming = Renaming(plan.route.asked)
            before = sum(map(len, parts))
            parts = [renaming.feed(part) for part in parts]
            size = size + sum(map(len, parts)) - before if size is not None and renaming.done else None
    await client.begin(reply.status, kept(reply) if size is None else [*kept(reply), _length(size)])
    for part in parts:
        await client.pass_on(part)
    while data := await reply.read():
        _look(ctx, passing, data)
        await client.pass_on(data if renaming is None else renaming.feed(data))
    _check_end(passing)
    await client.end(b"" if renaming is None else renaming.rest())


def _passing(ctx: RequestContext, reply: Reply, kind: bytes) -> Passing:
    if kind.startswith(JSON):
        return PassingJson(ctx.dialect, framed=reply.content_length is not None)
    return PassingBytes(first_of(reply.headers, b"metadata"))


def _look(ctx: RequestContext, passing: Passing, data: bytes) -> None:
    """Look at a piece before it goes out; what was stated so far is booked however the request ends."""
    passing.feed(data)
    ctx.usage = plausible(passing.usage)
    if passing.broken:
        raise BadGatewayError(STOPPED)


def _check_end(passing: Passing) -> None:
    if not passing.whole():
        raise BadGatewayError(NO_END)


def _length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % size
