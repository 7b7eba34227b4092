"""What did a request cost in the end, and in which words is it booked?"""

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.context import Phase, RequestContext
from gateway.core.errors import BadGatewayError, GatewayError, GatewayTimeoutError, RateLimitedError, UnavailableError
from gateway.core.lifeline import Cut
from gateway.core.usage import Usage

CLIENT_CLOSED_REQUEST = 499
INTERNAL_ERROR = 500
TIMED_OUT = 504

BACKEND_ERROR = "backend_"
"""What the outcome of a request begins with whose backend answered with an error."""

_CLIENT_GONE = Cut.CLIENT_GONE
_CONNECTING = Phase.CONNECTING
_QUEUED = Phase.QUEUED
_BODY = Phase.BODY


class Cost(NamedTuple):
    """1 or 0 requests, and tokens; `estimated` where no backend stated them."""

    requests: int
    prompt: int
    completion: int
    estimated: bool


NOTHING = Cost(0, 0, 0, estimated=False)
ONE_REQUEST = Cost(1, 0, 0, estimated=False)


def cost_without_usage(
    ctx: RequestContext, reckon: Callable[[RequestContext], Usage], failure: BaseException | None
) -> Cost:
    """What a request costs of which no backend has stated the tokens; `reckon` says what one may have done.

    Nothing, where no backend can have run it and nobody answered it: it was refused behind us, or left its place in a
    queue. What is reckoned, where a backend may have worked on it. One request without tokens, where it was answered
    from what is kept, by a backend's own error, or by a backend that needs no model for it.
    """
    if ctx.cache is not None:
        return ONE_REQUEST
    if not _may_have_run(ctx, failure):
        return NOTHING
    stated = isinstance(failure, GatewayError) and not isinstance(failure, BadGatewayError | GatewayTimeoutError)
    if stated or not ctx.endpoint.uses_engine or ctx.outcome.startswith(BACKEND_ERROR):
        return ONE_REQUEST
    done = reckon(ctx)
    return Cost(1, done.prompt_tokens, done.completion_tokens, estimated=True)


def _may_have_run(ctx: RequestContext, failure: BaseException | None) -> bool:
    if ctx.answer_started:
        return True
    if ctx.backend is None or isinstance(failure, UnavailableError | RateLimitedError):
        return False
    return ctx.phase not in {_BODY, _QUEUED, _CONNECTING}


def words(ctx: RequestContext, failure: BaseException | None) -> tuple[int, str]:
    """Status and outcome, as the access log will say them."""
    if failure is None:
        return ctx.status, ctx.outcome or ("ok" if ctx.answer_complete else ctx.lifeline.reason or "incomplete")
    if isinstance(failure, GatewayError):
        status, outcome = failure.status, failure.outcome
    elif isinstance(failure, Exception):
        status, outcome = INTERNAL_ERROR, GatewayError.code
    else:
        reason = ctx.lifeline.reason
        status, outcome = CLIENT_CLOSED_REQUEST if reason is _CLIENT_GONE else TIMED_OUT, reason or "incomplete"
    return ctx.status if ctx.answer_started else status, outcome
