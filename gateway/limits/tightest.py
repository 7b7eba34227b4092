"""What is left of the limits, in the fields of an answer? Of several limits the one that will be reached first."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.asgi import Headers
from gateway.limits.calendar import Period
from gateway.limits.token_bucket import duration
from gateway.store.accounts import Claim, Standing

MINUTE_SECS = 60.0

REMAINING_REQUESTS = b"x-ratelimit-remaining-requests"
"""Of the organization's bucket, which is taken from before: see `token_bucket.RateLimiter`."""


class Left(NamedTuple):
    """What is left of one limit, and in how many seconds all of it is there again."""

    remaining: int
    limit: int
    reset: float


def tokens_left(claims: Sequence[Claim], standings: Sequence[Standing], period: Period, wall: float) -> Left | None:
    """The tightest limit of tokens; None: there is none."""
    least = None
    limit, reset = 0, 0.0
    for (_, limits), standing in zip(claims, standings, strict=True):
        most = limits.tokens_per_day
        if most and (least is None or most - standing.day_tokens < least):
            least, limit, reset = most - standing.day_tokens, most, period.day_ends - wall
        most = limits.tokens_per_month
        if most and (least is None or most - standing.month_tokens < least):
            least, limit, reset = most - standing.month_tokens, most, period.month_ends - wall
        most = limits.tokens_per_minute
        if most:
            left = int(most * (1.0 - standing.tokens_full_after / MINUTE_SECS))
            if least is None or left < least:
                least, limit, reset = left, most, standing.tokens_full_after
    return None if least is None else Left(max(least, 0), limit, reset)


def requests_left(claims: Sequence[Claim], standings: Sequence[Standing], period: Period, wall: float) -> Left | None:
    """The tightest limit of requests, as `tokens_left`."""
    least = None
    limit, reset = 0, 0.0
    for (_, limits), standing in zip(claims, standings, strict=True):
        most = limits.requests_per_day
        if most and (least is None or most - standing.day_requests < least):
            least, limit, reset = most - standing.day_requests, most, period.day_ends - wall
        most = limits.requests_per_month
        if most and (least is None or most - standing.month_requests < least):
            least, limit, reset = most - standing.month_requests, most, period.month_ends - wall
        most = limits.requests_per_minute
        if most:
            left = int(most * (1.0 - standing.requests_full_after / MINUTE_SECS))
            if least is None or left < least:
                least, limit, reset = left, most, standing.requests_full_after
    return None if least is None else Left(max(least, 0), limit, reset)


def show_tokens(left: Left, headers: Headers) -> None:
    """Add what is left of tokens to an answer's fields, as OpenAI spells it."""
    headers += (
        (b"x-ratelimit-limit-tokens", b"%d" % left.limit),
        (b"x-ratelimit-remaining-tokens", b"%d" % left.remaining),
        (b"x-ratelimit-reset-tokens", duration(left.reset)),
    )


def show_requests(left: Left, headers: Headers) -> None:
    """Show what is left of requests, where it is less than what an answer's fields say already."""
    for name, value in headers:
        if name == REMAINING_REQUESTS and int(value) <= left.remaining:
            return
    headers[:] = [
        field for field in headers if not (field[0].startswith(b"x-ratelimit-") and field[0].endswith(b"-requests"))
    ]
    headers += (
        (b"x-ratelimit-limit-requests", b"%d" % left.limit),
        (REMAINING_REQUESTS, b"%d" % left.remaining),
        (b"x-ratelimit-reset-requests", duration(left.reset)),
    )
