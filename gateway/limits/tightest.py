"""What is left of the limits, in the fields of an answer? Of several limits the one that will be reached first."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec import Struct

from gateway.core.asgi import Headers
from gateway.core.principal import AccountLimits
from gateway.core.structs import stored_plainly
from gateway.limits.calendar import Period
from gateway.limits.token_bucket import duration
from gateway.store.accounts import Claim, Share, Standing

MINUTE_SECS = 60.0

LIMIT_TOKENS = b"x-ratelimit-limit-tokens"
REMAINING_TOKENS = b"x-ratelimit-remaining-tokens"
RESET_TOKENS = b"x-ratelimit-reset-tokens"
REMAINING_REQUESTS = b"x-ratelimit-remaining-requests"
"""Of the organization's bucket it is there already, between its limit and its reset: see `token_bucket.RateLimiter`."""

_duration = lru_cache(64)(duration)
"""Of a window's end the same for a second long, for everybody."""

When = tuple[float, Period]
"""Now, in seconds since 1970, and the day in which that is."""

Left = tuple[int, int, float]
"""What is left of a limit, that limit, and in how many seconds all of it is there again."""

MINUTE, DAY, MONTH = range(3)
"""Windows; that of a minute is refilled all the time."""

Limit = tuple[int, Callable[[Standing], Any], int, int]
"""One limit: the place of its account among a caller's, what reads how much of it was used (of a minute in how many
seconds its bucket is full), how much that may be, and its window. A plain tuple: a named one costs 500 instructions
more to unpack."""


class Limits(NamedTuple):
    """Those that a caller has, made once.

    Attributes:
        tokens: those of tokens: most accounts have two or three limits of six.
        requests: those of requests.
        usual: tokens of a day and of a month, and requests of a day, where one account has these alone, as by default.
    """

    tokens: tuple[Limit, ...]
    requests: tuple[Limit, ...]
    usual: tuple[int, int, float] | None


def limits_of(claims: Sequence[Claim]) -> Limits:
    """The limits of accounts."""
    first = claims[0].limits
    day, month, requests = first.tokens_per_day, first.tokens_per_month, first.requests_per_day
    alone = len(claims) == 1 and first == AccountLimits(0, 0, requests, day, 0, month)
    usual = (day, month, requests or math.inf) if alone and day and month else None
    return Limits(tuple(_limits(claims, "tokens")), tuple(_limits(claims, "requests")), usual)


def _limits(claims: Sequence[Claim], unit: str) -> Iterator[Limit]:
    for place, (_, limits) in enumerate(claims):
        for name, used, window in (
            ("day", f"day_{unit}", DAY),
            ("month", f"month_{unit}", MONTH),
            ("minute", f"{unit}_full_after", MINUTE),
        ):
            limit: int = getattr(limits, f"{unit}_per_{name}")
            if limit:
                yield place, attrgetter(used), limit, window


@stored_plainly
class Balance(Struct, eq=False):
    """What is left of the limits while a worker draws from one share of accounts.

    All claims count the same, so the tightest limit of each unit stays the tightest, and what is left of it is what is
    left of the share and a number that does not change.

    Attributes:
        share: what is drawn from.
        begins: the day for which it was lent, in seconds since 1970.
        ends: likewise.
        tokens: the tightest limit of tokens, as if nothing were left of the share; its last is when it renews, in
            seconds since 1970. None: there is none.
        requests: likewise of requests.
        enough: how many requests are left where nothing is to be said of them.
        second: that for which the next two were made.
        limit: the limit of tokens, as answers show it.
        reset: how long it is until that renews, likewise.
    """

    share: Share
    begins: float
    ends: float
    tokens: Left | None
    requests: Left | None
    enough: float
    second: float = -1.0
    limit: tuple[bytes, bytes] = (b"", b"")
    reset: tuple[bytes, bytes] = (b"", b"")

    def show(self, headers: Headers, wall: float) -> None:
        """Add what `Display.show` adds, behind a draw, which leaves no less than nothing; `wall` lies in its day."""
        if not 0.0 <= wall - self.second < 1.0:
            self._turn(wall // 1)
        share = self.share
        if self.tokens is not None:
            left = self.tokens[0] + share.tokens
            headers += (self.limit, (REMAINING_TOKENS, b"%d" % left), self.reset)
        if self.requests is not None:
            left = self.requests[0] + share.requests
            if left < self.enough:
                show_requests((left, self.requests[1], self.requests[2] - self.second), headers)

    def _turn(self, second: float) -> None:
        self.second = second
        if self.tokens is not None:
            _, limit, renews = self.tokens
            self.limit = (LIMIT_TOKENS, b"%d" % limit)
            self.reset = (RESET_TOKENS, _duration(renews - second))


class Display:
    """Puts what is left of the limits into the fields of answers: the tightest of tokens, and that of requests.

    Args:
        bucket: how many requests the organization's bucket can have left, which the fields show already; 0: none.
            Only what is tighter than that is shown in its place.
    """

    def __init__(self, bucket: float) -> None:
        self._enough = bucket or math.inf

    def show(self, headers: Headers, limits: Limits, standings: Sequence[Standing], when: When) -> None:
        """Add what is left, the standings of all accounts being known.

        Most that have to ask have the usual limits, and nearly always the day's are the tightest: 8,000 instructions.
        """
        wall, period = when
        second = wall // 1
        if limits.usual is not None:
            day, month, requests_of_day = limits.usual
            at = standings[0]
            left = day - at.day_tokens
            if 0 <= left <= month - at.month_tokens and requests_of_day - at.day_requests >= self._enough:
                show_tokens((left, day, period.day_ends - second), headers)
                return
        tokens = tightest(limits.tokens, standings, period, second)
        if tokens is not None:
            show_tokens(tokens, headers)
        requests = tightest(limits.requests, standings, period, second)
        if requests is not None and requests[0] < self._enough:
            show_requests(requests, headers)

    def balance(self, limits: Limits, share: Share, period: Period) -> Balance | None:
        """The same for all that draw from a share; None, where an account was forgotten and counts less than that."""
        requests, tokens = share.granted, share.granted_tokens
        for at in share.standings:
            if at.day_requests < requests or at.day_tokens < tokens:  # a month has no less than its day
                return None
        return Balance(
            share,
            period.begins,
            period.day_ends,
            tightest(limits.tokens, share.standings, period, 0.0),
            tightest(limits.requests, share.standings, period, 0.0),
            self._enough,
        )


def tightest(limits: Sequence[Limit], standings: Sequence[Standing], period: Period, wall: float) -> Left | None:
    """That of which the least is left, of several the first; None: there is none."""
    least = None
    nearest, reset = 0, 0.0
    for place, used_of, limit, window in limits:
        used = used_of(standings[place])
        left: int = limit - used if window else int(limit * (1.0 - used / MINUTE_SECS))
        if least is None or left < least:
            least, nearest = left, limit
            reset = used if not window else (period.day_ends if window == DAY else period.month_ends) - wall
    if least is None:
        return None
    return least if least > 0 else 0, nearest, reset  # noqa: FURB136 -- `max` costs 900 instructions more


def show_tokens(left: Left, headers: Headers) -> None:
    """Add what is left of tokens to an answer's fields, as OpenAI spells it."""
    remaining, limit, reset = left
    headers += (
        (LIMIT_TOKENS, b"%d" % limit),
        (REMAINING_TOKENS, b"%d" % remaining),
        (RESET_TOKENS, _duration(reset)),
    )


def show_requests(left: Left, headers: Headers) -> None:
    """Show what is left of requests, where it is less than what an answer's fields say already."""
    remaining, limit, reset = left
    for place, (name, value) in enumerate(headers):
        if name == REMAINING_REQUESTS:
            if int(value) <= remaining:
                return
            del headers[place - 1 : place + 2]
            break
    headers += (
        (b"x-ratelimit-limit-requests", b"%d" % limit),
        (REMAINING_REQUESTS, b"%d" % remaining),
        (b"x-ratelimit-reset-requests", _duration(reset)),
    )
