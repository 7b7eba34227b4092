"""An answer states the limit that will be reached first, and the short way says what the long one does."""

import itertools
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.asgi import Headers
from gateway.core.principal import AccountLimits
from gateway.limits.allowances import organization_limits
from gateway.limits.calendar import Period
from gateway.limits.settings import LimitsSettings
from gateway.limits.tightest import Display, limits_of
from gateway.limits.token_bucket import duration
from gateway.store.accounts import Claim, Standing, Windows
from gateway.store.tranche import Tranche
from gateway.store.wills import WillBook

PERIOD = Period(Windows(1, 1), 50_000.0, 900_000.0)
NOW = 14_000.25
DEFAULT = organization_limits(LimitsSettings())
BUCKET = (
    (b"x-ratelimit-limit-requests", b"100"),
    (b"x-ratelimit-remaining-requests", b"99"),
    (b"x-ratelimit-reset-requests", b"20ms"),
)


def shown(
    *accounts: tuple[AccountLimits, Standing],
    bucket: float = 100,
    headers: Headers | None = None,
) -> dict[bytes, bytes]:
    headers = list(BUCKET) if headers is None else headers
    claims = [Claim(f"org:{number}", limits) for number, (limits, _) in enumerate(accounts)]
    Display(bucket).show(headers, limits_of(claims), [standing for _, standing in accounts], (NOW, PERIOD))
    assert len({name for name, _ in headers}) == len(headers)
    return dict(headers)


def figures(headers: dict[bytes, bytes], unit: bytes) -> tuple[bytes, bytes, bytes]:
    return tuple(headers[b"x-ratelimit-%b-%b" % (what, unit)] for what in (b"limit", b"remaining", b"reset"))  # type: ignore[return-value]  # three


def test_by_default_it_is_the_day_of_the_organization_and_the_bucket_of_requests() -> None:
    headers = shown((DEFAULT, Standing(day_requests=1, day_tokens=1000, month_requests=1, month_tokens=1000)))
    assert figures(headers, b"tokens") == (b"10000000", b"9999000", b"10h0m0s")
    assert figures(headers, b"requests") == (b"100", b"99", b"20ms")


def test_a_month_that_is_nearly_over_comes_before_a_day() -> None:
    headers = shown((DEFAULT, Standing(day_tokens=10, month_tokens=299_999_000)))
    assert figures(headers, b"tokens") == (b"300000000", b"1000", b"246h6m40s")


def test_a_keys_minute_comes_before_its_organizations_day() -> None:
    key = AccountLimits(requests_per_minute=60, tokens_per_minute=6000)
    headers = shown((DEFAULT, Standing()), (key, Standing(requests_full_after=30.0, tokens_full_after=6.0)))
    assert figures(headers, b"tokens") == (b"6000", b"5400", b"6s")
    assert figures(headers, b"requests") == (b"60", b"30", b"30s")


def test_the_last_requests_of_a_day_come_before_the_bucket() -> None:
    headers = shown((DEFAULT, Standing(day_requests=99_995)))
    assert figures(headers, b"requests") == (b"100000", b"5", b"10h0m0s")


def test_more_than_all_is_never_less_than_nothing() -> None:
    assert figures(shown((DEFAULT, Standing(day_tokens=10_500_000))), b"tokens")[1] == b"0"


def test_without_limits_there_is_nothing_to_say() -> None:
    free = AccountLimits()
    assert shown((free, Standing()), bucket=0, headers=[]) == {}


def test_where_no_bucket_is_told_of_a_days_requests_are() -> None:
    headers = shown((DEFAULT, Standing(day_requests=1)), bucket=0, headers=[])
    assert figures(headers, b"requests") == (b"100000", b"99999", b"10h0m0s")


some = st.integers(0, 310_000_000)
fullness = st.floats(0.0, 90.0)
accounts = st.lists(
    st.tuples(st.builds(AccountLimits, *[st.just(0) | some] * 6), st.builds(Standing, *[fullness] * 2, *[some] * 4)),
    min_size=1,
    max_size=2,
)


@given(accounts=accounts)
def test_of_all_limits_the_one_is_shown_of_which_the_least_is_left(
    accounts: list[tuple[AccountLimits, Standing]],
) -> None:
    left = [
        candidate
        for limits, at in accounts
        for candidate in (
            (limits.tokens_per_day - at.day_tokens, limits.tokens_per_day, PERIOD.day_ends - NOW // 1),
            (limits.tokens_per_month - at.month_tokens, limits.tokens_per_month, PERIOD.month_ends - NOW // 1),
            (
                int(limits.tokens_per_minute * (1.0 - at.tokens_full_after / 60.0)),
                limits.tokens_per_minute,
                at.tokens_full_after,
            ),
        )
        if candidate[1]
    ]
    headers = shown(*accounts)
    assert left or b"x-ratelimit-limit-tokens" not in headers
    if left:
        remaining, limit, reset = min(left, key=lambda candidate: candidate[0])  # of equals the first
        assert figures(headers, b"tokens") == (b"%d" % limit, b"%d" % max(remaining, 0), duration(reset))


@pytest.mark.parametrize("bucket", [0.0, 100.0, 1e6])
@given(
    at=st.builds(
        Standing, st.just(0.0), st.just(0.0), st.integers(99_800, 100_100), st.integers(0, 10_100_000), some, some
    )
)
@example(at=Standing(0.0, 0.0, 99_901, 5, 99_901, 5))
def test_the_usual_limits_are_shown_as_any_others(bucket: float, at: Standing) -> None:
    limits = limits_of([Claim("org:acme", DEFAULT)])
    assert limits.usual
    short, long = list(BUCKET), list(BUCKET)
    Display(bucket).show(short, limits, [at], (NOW, PERIOD))
    Display(bucket).show(long, limits._replace(usual=None), [at], (NOW, PERIOD))
    assert short == long


calendar = st.builds(AccountLimits, st.just(0), st.just(0), *[st.just(0) | st.integers(10**6, 10**7)] * 4)
counted = st.builds(Standing, st.just(0.0), st.just(0.0), *[st.integers(2000, 10**6)] * 4)
costs = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3000), st.integers(-3, 3)), min_size=1, max_size=8)


class Ample:
    """A book of wills that nobody reads."""

    def add(self, *_: object) -> int:
        return 1


def lent(accounts: list[tuple[AccountLimits, Standing]], requests: int = 1000, tokens: int = 2000) -> Tranche:
    claims = tuple(Claim(f"org:{number}", limits) for number, (limits, _) in enumerate(accounts))
    standings = [standing for _, standing in accounts]
    windows = [PERIOD.windows] * len(claims)
    tranche = Tranche(1, b"", claims, PERIOD.windows, windows, standings, requests, tokens, requests, tokens, {})
    tranche.book, tranche.numbers = cast("WillBook", Ample()), itertools.count(1)
    return tranche


@pytest.mark.parametrize("bucket", [0.0, 100.0, 1e9])
@given(accounts=st.lists(st.tuples(calendar, counted), min_size=1, max_size=2), costs=costs)
@example(accounts=[(DEFAULT, Standing(0.0, 0.0, 99_901, 2000, 99_901, 2000))], costs=[(5, 5, 0)] * 3)
@example(
    accounts=[(AccountLimits(tokens_per_day=10_000), Standing(0.0, 0.0, 1000, 10_000, 1000, 10_000))],
    costs=[(0, 9000, 0)],
)
def test_what_is_drawn_from_a_share_is_shown_as_what_is_asked_for(
    bucket: float, accounts: list[tuple[AccountLimits, Standing]], costs: list[tuple[int, int, int]]
) -> None:
    tranche = lent(accounts)
    display, limits = Display(bucket), limits_of(tranche.claims)
    balance = display.balance(limits, tranche, PERIOD)
    assert balance is not None
    now = NOW
    for reserved, spent, secs in costs:
        now += secs
        drawn = tranche.draw(reserved, 0, b"")
        if drawn is not None:
            short, long = list(BUCKET), list(BUCKET)
            balance.show(short, now)
            display.show(long, limits, drawn.used(), (now, PERIOD))
            assert short == long
            tranche.tokens += reserved - spent


@pytest.mark.parametrize(("requests", "tokens", "known"), [(999, 2000, False), (1000, 1999, False), (1000, 2000, True)])
def test_the_share_of_an_account_that_was_forgotten_is_not_shown_the_short_way(
    requests: int, tokens: int, *, known: bool
) -> None:
    well = (DEFAULT, Standing(0.0, 0.0, 5000, 5000, 5000, 5000))
    tranche = lent([well, (DEFAULT, Standing(0.0, 0.0, requests, tokens, 5000, 5000))])
    assert (Display(100).balance(limits_of(tranche.claims), tranche, PERIOD) is not None) == known
