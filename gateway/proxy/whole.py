"""How is a whole answer passed on? Small ones checked and sent at once, large ones piece by piece."""

import msgspec

from gateway.core.asgi import Headers
from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.core.usage import plausible
from gateway.payload.answer import Answer, read_answer, rename_model
from gateway.proxy.client_side import ClientSide
from gateway.proxy.identity import Identities
from gateway.proxy.planner import Plan
from gateway.upstream.protocol import Reply

HOLD_BYTES = 1024 * 1024
"""Answers up to this size are held until they are complete: a backend that breaks off then costs a clean 502 instead
of half an answer. Beyond it (a batch of embeddings) memory counts more."""
KEPT_HEADERS = frozenset({b"content-type", b"metadata"})
"""`metadata` describes vLLM's binary embeddings (`encoding_format: bytes`)."""
JSON = b"application/json"
CLOSES = {b"{": b"}", b"[": b"]"}
"""How an answer begins, and ends: one without a stated length also comes to a clean end when its server dies."""


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
        BadGatewayError: it is no answer (HTML in front of the server, an aborted generation), or another request's.
        MayHaveRun: the backend broke off.
    """
    head, complete = await _read_head(reply)
    if content_type.startswith(JSON):
        answer = read_answer(head) if complete else Answer()
        _check(head, answer, complete=complete)
        if complete and reply.content_length is None:
            _check_end(head)
        identities.check(ctx, reply, head)
        ctx.usage = plausible(answer.usage)
        plan: Plan = ctx.plan
        if plan.route.renamed:
            head = rename_model(head, plan.route.asked)
    elif not content_type.startswith(b"application/octet-stream"):
        raise BadGatewayError("The model server answered with something that is no JSON.")
    headers = [(name, value) for name, value in reply.headers if name in KEPT_HEADERS]
    if complete:
        await client.begin(reply.status, [*headers, (b"content-length", b"%d" % len(head))])
        await client.end(head)
        return
    await client.begin(reply.status, headers)
    await client.pass_on(head)
    while data := await reply.read():
        await client.pass_on(data)
    await client.end()


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


def _check_end(head: bytes) -> None:
    """An answer of unstated length may have ended with its connection: only the JSON itself tells that it is whole."""
    try:
        msgspec.json.decode(head, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadGatewayError("The model server's answer has no end.") from None


def _check(head: bytes, answer: Answer, *, complete: bool) -> None:
    close = CLOSES.get(head[:1])
    if close is None:
        raise BadGatewayError("The model server answered with something that is no JSON.")
    if complete and not head.endswith(close) and not head.rstrip().endswith(close):
        raise BadGatewayError("The model server's answer has no end.", should_retry=False)
    if answer.aborted:
        raise BadGatewayError("The model server stopped in the middle of this answer.", should_retry=False)
