"""What does one account count, and may it count more? The arithmetic of all stores, on one record of fixed size."""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import TypeVar

from gateway.core.principal import AccountLimits
from gateway.store.accounts import Claim, OverLimitError, Standing, Windows

State = list[int]
"""Ten numbers, whose places have names. A minute's bucket is kept as the moment at which it will be full again, in
nanoseconds of the monotonic clock. `RESTORED_...`: the window to which an earlier epoch's use was added."""

(
    REQUESTS_FULL,
    TOKENS_FULL,
    DAY,
    DAY_REQUESTS,
    DAY_TOKENS,
    MONTH,
    MONTH_REQUESTS,
    MONTH_TOKENS,
    RESTORED_DAY,
    RESTORED_MONTH,
) = range(10)

RECORD = struct.Struct("10q")
NOTHING = (0,) * 10
"""Of an account that is not known: full buckets, and any window is its first."""
NO_RECORD = RECORD.pack(*NOTHING)

_unpack = RECORD.unpack
_pack = RECORD.pack

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
"""What a minute's bucket holds flows in during that time, so what it misses is counted in time."""

MOST = 2**62
"""No count grows beyond it: the record holds 64 bits."""

SHARES = 16
"""A worker holds at most this part of what is left of a limit: nearer to it than that, each request asks."""

Key = TypeVar("Key")


def turn(state: State, windows: Windows) -> bool:
    """Bring an account into the windows of now, if it counted in others; whether that changed it.

    What counts in one that has ended is forgotten. One that lies ahead by no more than one is held: another worker
    saw midnight a moment ago, or the clock was set back over it, and that fills no quota again. If it lies further
    ahead, the clock was wrong; what was used then counts in the window of now.
    """
    changed = False
    for place, window in ((DAY, windows.day), (MONTH, windows.month)):
        if window > state[place]:
            state[place : place + 3] = window, 0, 0
            changed = True
        elif window < state[place] - 1:
            state[place] = window
            changed = True
    return changed


Charged = tuple[bytes, Windows, Standing]
"""The record of an account in which one more request counts, the windows in which it does, and what others may know."""


def charge(
    record: bytes | None, limits: AccountLimits, tokens: int, windows: Windows, now: int, requests: int = 1
) -> Charged | None:
    """Count one request, or more, and `tokens` tokens in the account of that record; None when that passes a limit."""
    if record is None:
        record = NO_RECORD
    (
        requests_full,
        tokens_full,
        day,
        day_requests,
        day_tokens,
        month,
        month_requests,
        month_tokens,
        restored_day,
        restored_month,
    ) = _unpack(record)
    if day != windows[0] or month != windows[1]:
        state = list(_unpack(record))
        if turn(state, windows):
            return charge(_pack(*state), limits, tokens, windows, now, requests)
        windows = Windows(day, month)  # they lie ahead
    day_requests += requests
    month_requests += requests
    day_tokens += tokens
    month_tokens += tokens
    if (
        (day_tokens > limits.tokens_per_day > 0)
        or (day_requests > limits.requests_per_day > 0)
        or (month_tokens > limits.tokens_per_month > 0)
        or (month_requests > limits.requests_per_month > 0)
    ):
        return None
    if limits.requests_per_minute:
        requests_full = max(requests_full, now) + requests * (MINUTE_NS // limits.requests_per_minute)
        if requests_full - now > MINUTE_NS:
            return None
    if limits.tokens_per_minute:
        tokens_full = max(tokens_full, now) + tokens * MINUTE_NS // limits.tokens_per_minute
        if tokens_full - now > MINUTE_NS:
            return None
    return (
        _pack(
            requests_full,
            tokens_full,
            day,
            day_requests,
            day_tokens,
            month,
            month_requests,
            month_tokens,
            restored_day,
            restored_month,
        ),
        windows,
        Standing(
            (requests_full - now) / SECOND_NS if requests_full > now else 0.0,
            (tokens_full - now) / SECOND_NS if tokens_full > now else 0.0,
            day_requests,
            day_tokens,
            month_requests,
            month_tokens,
        ),
    )


def share(record: bytes | None, limits: AccountLimits, windows: Windows) -> tuple[int, int]:
    """How many requests and tokens a worker may hold of an account, as a small part of what is left; 0: none.

    None where there is a limit for a minute: there, what was left a tenth of a second ago says little.
    """
    if limits.requests_per_minute or limits.tokens_per_minute:
        return 0, 0
    state = list(_unpack(record or NO_RECORD))
    turn(state, windows)
    requests = tokens = MOST
    for limit, used in (
        (limits.requests_per_day, state[DAY_REQUESTS]),
        (limits.requests_per_month, state[MONTH_REQUESTS]),
    ):
        requests = min(requests, limit - used) if limit else requests
    for limit, used in (
        (limits.tokens_per_day, state[DAY_TOKENS]),
        (limits.tokens_per_month, state[MONTH_TOKENS]),
    ):
        tokens = min(tokens, limit - used) if limit else tokens
    return max(requests // SHARES, 0), max(tokens // SHARES, 0)


def refusal(
    state: State, limits: AccountLimits, tokens: int, windows: Windows, now: int
) -> tuple[str, float | None] | None:
    """Which limit `charge` would pass, and in how many seconds it would not (None: waiting is no use); None: no limit.

    Of several it is the one that lasts longest: who has used up a month's tokens need not wait for the minute.
    """
    turn(state, windows)
    for field, amount in (
        ("tokens_per_month", state[MONTH_TOKENS] + tokens),
        ("requests_per_month", state[MONTH_REQUESTS] + 1),
        ("tokens_per_day", state[DAY_TOKENS] + tokens),
        ("requests_per_day", state[DAY_REQUESTS] + 1),
    ):
        if amount > getattr(limits, field) > 0:
            return field, None
    longest = None
    wait = 0
    for field, full_at, amount in (
        ("tokens_per_minute", state[TOKENS_FULL], tokens),
        ("requests_per_minute", state[REQUESTS_FULL], 1),
    ):
        limit = getattr(limits, field)
        if limit:
            if amount * MINUTE_NS // limit > MINUTE_NS:
                return field, None
            needs = max(full_at - now, 0) + amount * MINUTE_NS // limit - MINUTE_NS
            longest, wait = (field, needs) if needs > wait else (longest, wait)
    return None if longest is None else (longest, wait / SECOND_NS)


def over_limit(
    states: Sequence[State], claims: Sequence[Claim], tokens: int, windows: Windows, now: int
) -> OverLimitError:
    """Which limit stands in the way, of several in different accounts the one that does so longest."""
    found = [
        (index, *refused)
        for index, (state, claim) in enumerate(zip(states, claims, strict=True))
        if (refused := refusal(state, claim.limits, tokens, windows, now))
    ]
    index, field, wait = max(found, key=lambda refused: math.inf if refused[2] is None else refused[2])
    return OverLimitError(index, field, wait, [standing(state, now) for state in states])


def forgotten(windows: Windows, requests: int, reserved: int) -> State:
    """An account that was forgotten while requests ran in it: only these count."""
    return [0, 0, windows[0], requests, reserved, windows[1], requests, reserved, 0, 0]


def settle(state: State, windows: Windows, limits: AccountLimits, more: int, refunded: int, now: int) -> None:
    """Put the cost in the place of what was reserved: `more` tokens than that, or fewer, and `refunded` requests less.

    It counts in the `windows` in which it was reserved; one that has ended stays as it was.
    """
    if state[DAY] == windows[0]:
        state[DAY_TOKENS] = min(max(state[DAY_TOKENS] + more, 0), MOST)
    if state[MONTH] == windows[1]:
        state[MONTH_TOKENS] = min(max(state[MONTH_TOKENS] + more, 0), MOST)
    if limits.tokens_per_minute:
        since = max(state[TOKENS_FULL], now) if more > 0 else state[TOKENS_FULL]
        state[TOKENS_FULL] = min(since + more * MINUTE_NS // limits.tokens_per_minute, MOST)
    if refunded:
        _refund(state, windows, limits, refunded)


def _refund(state: State, windows: Windows, limits: AccountLimits, refunded: int) -> None:
    if state[DAY] == windows.day:
        state[DAY_REQUESTS] = max(state[DAY_REQUESTS] - refunded, 0)
    if state[MONTH] == windows.month:
        state[MONTH_REQUESTS] = max(state[MONTH_REQUESTS] - refunded, 0)
    if limits.requests_per_minute:
        state[REQUESTS_FULL] -= refunded * (MINUTE_NS // limits.requests_per_minute)


def restore(state: State, windows: Windows, day: tuple[int, int], month: tuple[int, int]) -> None:
    """Add an earlier epoch's requests and tokens, if they belong to the account's windows and are not in it yet."""
    turn(state, windows)
    for place, mark, window, (requests, tokens) in (
        (DAY, RESTORED_DAY, windows.day, day),
        (MONTH, RESTORED_MONTH, windows.month, month),
    ):
        if state[place] == window != state[mark]:
            state[place + 1] = min(state[place + 1] + requests, MOST)
            state[place + 2] = min(state[place + 2] + tokens, MOST)
            state[mark] = window


def state_of(at: Standing, windows: Windows, now: int) -> State:
    """The account that stands so: what another store counts, earlier epochs' use included."""
    return [
        now + round(at.requests_full_after * SECOND_NS),
        now + round(at.tokens_full_after * SECOND_NS),
        windows.day,
        at.day_requests,
        at.day_tokens,
        windows.month,
        at.month_requests,
        at.month_tokens,
        *windows,
    ]


def standing(state: State, now: int) -> Standing:
    """What the account has used, as others are told of it."""
    full, tokens_full, _, day_requests, day_tokens, _, month_requests, month_tokens, _, _ = state
    return Standing(
        (full - now) / SECOND_NS if full > now else 0.0,
        (tokens_full - now) / SECOND_NS if tokens_full > now else 0.0,
        day_requests,
        day_tokens,
        month_requests,
        month_tokens,
    )


def choose_victims(sample: Iterable[tuple[Key, State]], windows: Windows, now: int) -> list[Key]:
    """Which of these accounts may be forgotten, when there are too many? At least one, if the sample has any.

    Those without use in a running window lose nothing. Failing them it is the one that has used the least of this
    month, which then begins anew: a used-up quota is the last to be had again by flooding the gateway with accounts.
    """
    seen = sorted(
        sample, key=lambda item: (item[1][MONTH] >= windows.month, item[1][MONTH_TOKENS], item[1][MONTH_REQUESTS])
    )
    idle = [
        key
        for key, state in seen
        if state[MONTH] < windows.month and state[DAY] < windows.day and max(state[: TOKENS_FULL + 1]) <= now
    ]
    return idle or [key for key, _ in seen[:1]]
