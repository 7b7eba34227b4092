"""An answer states the limit that will be reached first, and the short way says what the long one does."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.asgi import Headers
from gateway.core.principal import AccountLimits
from gateway.limits.allowances import organization_limits
from gateway.limits.calendar import Period
from gateway.limits.settings import LimitsSettings
from gateway.limits.tightest import Display
from gateway.store.accounts import Claim, Reservation, Standing, Windows

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
    default: AccountLimits = DEFAULT,
    bucket: float = 100,
    headers: Headers | None = None,
) -> dict[bytes, bytes]:
    headers = list(BUCKET) if headers is None else headers
    claims = [Claim(f"org:{number}", limits) for number, (limits, _) in enumerate(accounts)]
    reservation = Reservation(1, claims, 0, [], [standing for _, standing in accounts])
    Display(default, bucket).show(headers, reservation, (NOW, PERIOD))
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
    assert shown((free, Standing()), default=free, bucket=0, headers=[]) == {}


def test_where_no_bucket_is_told_of_a_days_requests_are() -> None:
    headers = shown((DEFAULT, Standing(day_requests=1)), bucket=0, headers=[])
    assert figures(headers, b"requests") == (b"100000", b"99999", b"10h0m0s")


counts = st.integers(0, 310_000_000)


@pytest.mark.parametrize("bucket", [0.0, 100.0, 1e6])
@given(standing=st.builds(Standing, st.just(0.0), st.just(0.0), counts, counts, counts, counts))
@example(standing=Standing(day_requests=99_901))
def test_the_short_way_says_what_the_long_one_does(bucket: float, standing: Standing) -> None:
    short = shown((DEFAULT, standing), bucket=bucket)
    other = AccountLimits(requests_per_day=7)  # another default: nothing is usual
    assert shown((DEFAULT, standing), bucket=bucket, default=other) == short
