"""A verdict says whether a request may go on, and tells the client of its bucket in OpenAI's words."""

from collections.abc import AsyncIterator

import pytest

from gateway.core.clock import SystemClock
from gateway.core.envelope import error_headers
from gateway.limits.settings import LimitsSettings
from gateway.limits.token_bucket import FailedAuthLimiter, RateLimiter, duration
from gateway.store.memory import MemoryStore
from gateway.store.protocol import LimiterStore
from gateway.store.settings import StoreSettings

pytestmark = pytest.mark.anyio

ADDRESS = "203.0.113.7"


class HandClock(SystemClock):
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(clock: HandClock) -> AsyncIterator[LimiterStore]:
    opened = MemoryStore(StoreSettings(), clock)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_burst_is_granted_and_the_next_request_is_told_when_to_come_back(store: LimiterStore) -> None:
    limiter = RateLimiter(LimitsSettings(), store)
    verdicts = [await limiter.take(ADDRESS) for _ in range(101)]
    assert [verdict.granted for verdict in verdicts] == [True] * 100 + [False]
    error = verdicts[-1].error()
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert error_headers(error) == [(b"retry-after", b"1"), (b"retry-after-ms", b"20")]


async def test_the_headers_speak_of_the_bucket(store: LimiterStore) -> None:
    limiter = RateLimiter(LimitsSettings(), store)
    assert (await limiter.take(ADDRESS)).headers == [
        (b"x-ratelimit-limit-requests", b"100"),
        (b"x-ratelimit-remaining-requests", b"99"),
        (b"x-ratelimit-reset-requests", b"20ms"),
    ]


async def test_whoever_comes_back_when_told_is_granted(store: LimiterStore, clock: HandClock) -> None:
    limiter = RateLimiter(LimitsSettings(max_rps_per_ip=3, rps_burst=1, rps_window_secs=1), store)
    for _ in range(3):
        await limiter.take(ADDRESS)
    refusal = await limiter.take(ADDRESS)
    clock.now += refusal.retry_after
    assert (await limiter.take(ADDRESS)).granted
    assert not (await limiter.take(ADDRESS)).granted


@pytest.mark.parametrize(
    ("rate", "window", "burst", "capacity"), [(50, 1, 100, 100), (50, 10, 100, 500), (0.1, 1, 0, 1), (50, 1, 0, 50)]
)
async def test_the_capacity_is_the_burst_or_what_the_window_brings(
    store: LimiterStore, rate: float, window: float, burst: float, capacity: int
) -> None:
    limiter = RateLimiter(LimitsSettings(max_rps_per_ip=rate, rps_window_secs=window, rps_burst=burst), store)
    granted = [(await limiter.take(ADDRESS)).granted for _ in range(capacity + 1)]
    assert granted == [True] * capacity + [False]


async def test_a_rate_of_nothing_is_no_limit(store: LimiterStore) -> None:
    limiter = RateLimiter(LimitsSettings(max_rps_per_ip=0), store)
    verdicts = [await limiter.take(ADDRESS) for _ in range(200)]
    assert all(verdict.granted and verdict.headers == [] for verdict in verdicts)


async def test_an_address_that_fails_too_often_is_refused_until_its_bucket_refills(
    store: LimiterStore, clock: HandClock
) -> None:
    limiter = FailedAuthLimiter(LimitsSettings(failed_auth_per_sec=1, failed_auth_burst=3), store)
    assert [(await limiter.drain(ADDRESS)).granted for _ in range(4)] == [True, True, True, False]
    assert (await limiter.drain("198.51.100.1")).granted
    clock.now += 1
    assert [(await limiter.drain(ADDRESS)).granted for _ in range(2)] == [True, False]


async def test_failures_and_requests_of_one_address_are_counted_apart(store: LimiterStore) -> None:
    settings = LimitsSettings(max_rps_per_ip=1, rps_burst=1, failed_auth_burst=1)
    await FailedAuthLimiter(settings, store).drain(ADDRESS)
    assert (await RateLimiter(settings, store).take(ADDRESS)).granted


async def test_failures_without_a_limit_are_never_refused(store: LimiterStore) -> None:
    limiter = FailedAuthLimiter(LimitsSettings(failed_auth_per_sec=0), store)
    for _ in range(100):
        assert (await limiter.drain(ADDRESS)).granted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, b"0s"),
        (0.0001, b"1ms"),
        (0.012, b"12ms"),
        (0.9999, b"1s"),
        (1.98, b"1.98s"),
        (59.9999, b"1m0s"),
        (360, b"6m0s"),
        (3630, b"1h0m30s"),
    ],
)
def test_a_duration_is_spelled_as_openai_does(seconds: float, text: bytes) -> None:
    assert duration(seconds) == text
