"""Is it the answer to this request? A backend that repeats our request ids is held to it."""

from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.upstream.protocol import Reply

LOOKED_AT_BYTES = 1024
"""vLLM writes the id first; what a model wrote stands behind it."""


class ForeignAnswerError(BadGatewayError):
    """The answer belongs to another request: nothing of it may be shown, and its connection is not to be trusted."""

    code = "foreign_answer"


class Identities:
    """Knows which backends make our request id part of their answers' id, path by path.

    HTTP/1.1 has no names for its answers: one that a backend sends unasked, after a request went out on the same
    kept-alive connection, looks like the answer to it. vLLM 0.32 makes X-Request-Id part of the id of every chat,
    completion, message, embedding, rerank and score answer (docs/vllm-facts.md); `/v1/responses` and `/tokenize` state
    no such id, so there a stray answer can only be noticed before the request is written. Whether a backend does is
    learned from its answers, so that one that never repeats an id is not refused.
    """

    def __init__(self) -> None:
        self._repeating: set[tuple[str | None, bytes | None]] = set()

    def check(self, ctx: RequestContext, reply: Reply, first: bytes) -> None:
        """Look at an answer's first bytes, before anything of it is passed on; a foreign one's connection is closed.

        Raises:
            ForeignAnswerError: the id is missing from an answer of a backend that has repeated ids on this path.
        """
        key = (ctx.backend, ctx.endpoint.upstream_path)
        if first.find(ctx.request_id.encode(), 0, LOOKED_AT_BYTES) >= 0:
            self._repeating.add(key)
        elif key in self._repeating:
            reply.discard()  # the right answer may still come on it, and must not meet the next request
            raise ForeignAnswerError("The model server's answer was not the answer to this request.")
