"""Is it the same request? Thirty-two bytes that only requests share which may share an answer."""

from hashlib import blake2b

from gateway.cache.records import KEY_BYTES
from gateway.core.context import RequestContext


def key_of(ctx: RequestContext, version: int) -> bytes:
    """The key of a planned request under that version of the registry.

    The body is hashed as the backend gets it, which is the client's own bytes and what was spliced in behind them
    (the model's name, its defaults, the salt): what differs there differs at the backend. Two bodies may be made one
    by a splice; then the name differs that the answer bears, which is hashed too.
    """
    plan = ctx.plan
    # The text of a tuple of texts is another for every other tuple.
    asked = repr((ctx.organization, ctx.path, version, ctx.group, plan.route.asked)).encode()
    digest = blake2b(asked, digest_size=KEY_BYTES)
    digest.update(plan.body)
    return digest.digest()
