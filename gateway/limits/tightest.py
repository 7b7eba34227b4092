"""What is left of the limits, in the fields of an answer? Of several limits the one that will be reached first."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from gateway.core.asgi import Headers
from gateway.core.principal import AccountLimits
from gateway.limits.calendar import Period
from gateway.limits.token_bucket import duration
from gateway.store.accounts import Claim, Standing

MINUTE_SECS = 60.0

REMAINING_REQUESTS = b"x-ratelimit-remaining-requests"
"""Of the organization's bucket it is there already, between its limit and its reset: see `token_bucket.RateLimiter`."""


When = tuple[float, Period]
"""Now, in seconds since 1970, and the day in which that is."""


class Left(NamedTuple):
    """What is left of one limit, and in how many seconds all of it is there again."""

    remaining: int
    limit: int
    reset: float


class Display:
    """Puts what is left of the limits into the fields of answers.

    Args:
        default: the limits of organizations that have none of their own.
        bucket: how many requests the organization's bucket can have left, which the fields show already; 0: none.
    """

    def __init__(self, default: AccountLimits, bucket: float) -> None:
        self._bucket = bucket
        limits_of_days = AccountLimits(
            0, 0, default.requests_per_day, default.tokens_per_day, 0, default.tokens_per_month
        )
        usual = default == limits_of_days and default.tokens_per_day > 0 and default.tokens_per_month > 0
        self._usual = default if usual and bucket > 0 else None
        self._tokens = default.tokens_per_day
        self._earlier = default.tokens_per_month - default.tokens_per_day  # used this month before today: day's tighter
        self._requests = (default.requests_per_day or math.inf) - bucket
        self._limit = (b"x-ratelimit-limit-tokens", b"%d" % default.tokens_per_day)
        self._reset = (b"", b"")
        self._second = 0.0

    def show(self, headers: Headers, claims: Sequence[Claim], standings: Sequence[Standing], when: When) -> None:
        """Add the tightest limit of tokens, and that of requests where it is tighter than the bucket's.

        Nearly all who ask have the default limits, and nearly always the day's are the tightest.
        """
        if claims[0][1] is self._usual and len(claims) == 1:
            standing = standings[0]
            used = standing.day_tokens
            if (
                used <= self._tokens
                and standing.month_tokens - used <= self._earlier
                and standing.day_requests <= self._requests
            ):
                second = when[0] // 1
                if second != self._second:
                    self._second = second
                    self._reset = (b"x-ratelimit-reset-tokens", duration(when[1].day_ends - second))
                headers += (self._limit, (b"x-ratelimit-remaining-tokens", b"%d" % (self._tokens - used)), self._reset)
                return
        self._show_all(headers, claims, standings, when)

    def _show_all(self, headers: Headers, claims: Sequence[Claim], standings: Sequence[Standing], when: When) -> None:
        """The same for any limits."""
        wall, period = when
        tokens = tokens_left(claims, standings, period, wall // 1)
        if tokens is not None:
            show_tokens(tokens, headers)
        requests = requests_left(claims, standings, period, wall // 1)
        if requests is not None and not 0 < self._bucket <= requests.remaining:
            show_requests(requests, headers)


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
    for place, (name, value) in enumerate(headers):
        if name == REMAINING_REQUESTS:
            if int(value) <= left.remaining:
                return
            del headers[place - 1 : place + 2]
            break
    headers += (
        (b"x-ratelimit-limit-requests", b"%d" % left.limit),
        (REMAINING_REQUESTS, b"%d" % left.remaining),
        (b"x-ratelimit-reset-requests", duration(left.reset)),
    )
