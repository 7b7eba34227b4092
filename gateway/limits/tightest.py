"""What is left of the limits, in the fields of an answer? Of several limits the one that will be reached first."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from gateway.core.asgi import Headers
from gateway.core.principal import AccountLimits
from gateway.limits.calendar import Period
from gateway.limits.token_bucket import duration
from gateway.store.accounts import Claim, Reservation, Standing

MINUTE_SECS = 60.0

_duration = lru_cache(64)(duration)
"""Of a window's end the same for a second long, for everybody."""

REMAINING_REQUESTS = b"x-ratelimit-remaining-requests"
"""Of the organization's bucket it is there already, between its limit and its reset: see `token_bucket.RateLimiter`."""


When = tuple[float, Period]
"""Now, in seconds since 1970, and the day in which that is."""


class Left(NamedTuple):
    """What is left of one limit, and in how many seconds all of it is there again."""

    remaining: int
    limit: int
    reset: float


class Unit(NamedTuple):
    """How to read what counts requests, or tokens.

    Attributes:
        limits: those of a day, of a month and of a minute; 0: none.
        used: what was used of the day and of the month, and in how many seconds the minute's bucket is full.
    """

    limits: Callable[[AccountLimits], tuple[int, int, int]]
    used: Callable[[Standing], tuple[int, int, float]]


TOKENS = Unit(
    attrgetter("tokens_per_day", "tokens_per_month", "tokens_per_minute"),
    attrgetter("day_tokens", "month_tokens", "tokens_full_after"),
)
REQUESTS = Unit(
    attrgetter("requests_per_day", "requests_per_month", "requests_per_minute"),
    attrgetter("day_requests", "month_requests", "requests_full_after"),
)


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

    def show(self, headers: Headers, reservation: Reservation, when: When) -> None:
        """Add the tightest limit of tokens, and that of requests where it is tighter than the bucket's.

        Nearly all who ask have the default limits, and nearly always the day's are the tightest.
        """
        claims = reservation.claims
        if claims[0][1] is self._usual and len(claims) == 1:
            standing = reservation.standings[0]
            used_by_all = standing.day_tokens
            used = used_by_all - reservation.unused_tokens
            if (
                used <= self._tokens
                and standing.month_tokens - used_by_all <= self._earlier
                and standing.day_requests - reservation.unused_requests <= self._requests
            ):
                second = when[0] // 1
                if second != self._second:
                    self._second = second
                    self._reset = (b"x-ratelimit-reset-tokens", duration(when[1].day_ends - second))
                headers += (self._limit, (b"x-ratelimit-remaining-tokens", b"%d" % (self._tokens - used)), self._reset)
                return
        self.show_all(headers, claims, reservation.used(), when)

    def show_all(self, headers: Headers, claims: Sequence[Claim], standings: Sequence[Standing], when: When) -> None:
        """The same for any limits, the standings of claims being known."""
        wall, period = when
        tokens = tightest(TOKENS, claims, standings, period, wall // 1)
        if tokens is not None:
            show_tokens(tokens, headers)
        requests = tightest(REQUESTS, claims, standings, period, wall // 1)
        if requests is not None and not 0 < self._bucket <= requests.remaining:
            show_requests(requests, headers)


def tightest(
    unit: Unit, claims: Sequence[Claim], standings: Sequence[Standing], period: Period, wall: float
) -> Left | None:
    """The limit of that unit of which the least is left; None: there is none."""
    least = None
    limit, reset = 0, 0.0
    for (_, limits), standing in zip(claims, standings, strict=True):
        day, month, minute = unit.limits(limits)
        used_today, used_this_month, full_after = unit.used(standing)
        if day and (least is None or day - used_today < least):
            least, limit, reset = day - used_today, day, period.day_ends - wall
        if month and (least is None or month - used_this_month < least):
            least, limit, reset = month - used_this_month, month, period.month_ends - wall
        if minute:
            left = int(minute * (1.0 - full_after / MINUTE_SECS))
            if least is None or left < least:
                least, limit, reset = left, minute, full_after
    return None if least is None else Left(max(least, 0), limit, reset)


def show_tokens(left: Left, headers: Headers) -> None:
    """Add what is left of tokens to an answer's fields, as OpenAI spells it."""
    headers += (
        (b"x-ratelimit-limit-tokens", b"%d" % left.limit),
        (b"x-ratelimit-remaining-tokens", b"%d" % left.remaining),
        (b"x-ratelimit-reset-tokens", _duration(left.reset)),
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
        (b"x-ratelimit-reset-requests", _duration(left.reset)),
    )
