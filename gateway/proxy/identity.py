"""Is it the answer to this request? A backend that repeats our request ids is held to it."""

from gateway.core.context import RequestContext
from gateway.core.errors import BadGatewayError
from gateway.upstream.protocol import Reply

LOOKED_AT_BYTES = 1024
"""vLLM writes the id first; what a model wrote stands behind it."""
NAMELESS = frozenset({b"/tokenize", b"/v1/messages/count_tokens"})
"""Paths whose answers state no id."""
NAMED = b'{"id":'
"""How answers of all other paths begin."""


class ForeignAnswerError(BadGatewayError):
    """The answer belongs to another request: nothing of it may be shown, and its connection is not to be trusted."""

    code = "foreign_answer"


class Identities:
    """Knows which backends make our request id part of their answers' id, path by path.

    HTTP/1.1 has no names for its answers: one that a backend sends unasked, after a request went out on the same
    kept-alive connection, looks like the answer to it. vLLM 0.32 makes X-Request-Id part of the id of every chat,
    completion, message, embedding, rerank and score answer, and takes the id of a response from the body's
    `request_id`, which the planner sets (docs/vllm-facts.md). Whether a backend does is learned from its answers, so
    that one that never repeats an id is not refused.

    Token counts, errors and binary embeddings state no id. A stray answer of another path is noticed there by the id
    that it has. What is left: a backend that answers a request for a count, or refuses one, twice on one connection,
    so late that the next such request was written already. No server does that of which we know; to be safe from it
    each of these requests would need a connection of its own, and a port of the host for the minute after it.
    """

    def __init__(self) -> None:
        self._repeating: set[tuple[str | None, bytes | None]] = set()

    def check(self, ctx: RequestContext, reply: Reply, first: bytes) -> None:
        """Look at an answer's first bytes, before anything of it is passed on; a foreign one's connection is closed.

        Raises:
            ForeignAnswerError: the id is missing from an answer of a backend that has repeated ids on this path, or
                there is one where none belongs.
        """
        key = (ctx.backend, ctx.endpoint.upstream_path)
        if first.find(ctx.request_id.encode(), 0, LOOKED_AT_BYTES) >= 0:
            self._repeating.add(key)
        elif key in self._repeating or (first.startswith(NAMED) and key[1] in NAMELESS):
            reply.discard()  # the right answer may still come on it, and must not meet the next request
            raise ForeignAnswerError("The model server's answer was not the answer to this request.")
