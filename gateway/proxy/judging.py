"""Is a 200 an answer? What it states of itself, whose it is, and what of its head the client gets."""

from typing import Final

from gateway.core.asgi import Headers
from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.core.usage import plausible
from gateway.payload.answer import UnreadableAnswerError, read_answer
from gateway.proxy.error_answer import stated_inside
from gateway.proxy.identity import Identities
from gateway.upstream.protocol import Reply

KEPT_HEADERS: Final = frozenset({b"content-type", b"metadata"})
"""`metadata` describes vLLM's binary embeddings (`encoding_format: bytes`)."""
JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"
NO_JSON: Final = "The model server answered with something that is no whole JSON."
NO_END: Final = "The model server's answer has no end."
STOPPED: Final = "The model server stopped in the middle of this answer."


def check(ctx: RequestContext, reply: Reply, document: bytes, identities: Identities) -> None:
    """Judge a whole JSON answer, and book its figures.

    Raises:
        StatedError: it states an error; the client gets it with its own status.
        BadGatewayError: it is no JSON, an aborted generation, or another request's.
    """
    try:
        answer = read_answer(document)
    except UnreadableAnswerError:
        raise BadGatewayError(NO_JSON) from None
    ctx.usage = plausible(answer.usage)
    if answer.failed:
        raise stated_inside(document)
    if answer.aborted:
        raise BadGatewayError(STOPPED)
    identities.check(ctx, reply, document)


def kept(reply: Reply) -> Headers:
    """The fields of the backend's head that describe the body."""
    return [(name, value) for name, value in reply.headers if name in KEPT_HEADERS]
