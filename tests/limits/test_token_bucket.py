"""A bucket lets a request go on or refuses it, and tells the client of itself in OpenAI's words."""

from collections.abc import AsyncIterator, Awaitable

import pytest

from gateway.core.asgi import Headers
from gateway.core.clock import SystemClock
from gateway.core.envelope import error_headers
from gateway.core.errors import RateLimitedError
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


async def refusal(asked: Awaitable[None]) -> RateLimitedError | None:
    try:
        await asked
    except RateLimitedError as error:
        return error
    return None


async def granted(limiter: RateLimiter | FailedAuthLimiter, times: int, address: str = ADDRESS) -> list[bool]:
    return [
        await refusal(limiter.take(address, []) if isinstance(limiter, RateLimiter) else limiter.drain(address)) is None
        for _ in range(times)
    ]


async def test_a_burst_is_granted_and_the_next_request_is_told_when_to_come_back(store: LimiterStore) -> None:
    limiter = RateLimiter(LimitsSettings(), store)
    assert await granted(limiter, 100) == [True] * 100
    error = await refusal(limiter.take(ADDRESS, []))
    assert error is not None
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert error.message == "Rate limit reached: 50 requests per second on average."
    assert error_headers(error) == [(b"retry-after", b"1"), (b"retry-after-ms", b"20")]


async def test_the_headers_speak_of_the_bucket_behind_what_is_said_already(store: LimiterStore) -> None:
    limiter = RateLimiter(LimitsSettings(rps_burst=1, rps_window_secs=0.001), store)
    for refused in (False, True):
        headers: Headers = [(b"x-request-id", b"1")]
        assert (await refusal(limiter.take(ADDRESS, headers)) is not None) == refused
        assert headers == [
            (b"x-request-id", b"1"),
            (b"x-ratelimit-limit-requests", b"1"),
            (b"x-ratelimit-remaining-requests", b"0"),
            (b"x-ratelimit-reset-requests", b"20ms"),
        ]


async def test_whoever_comes_back_when_told_is_granted(store: LimiterStore, clock: HandClock) -> None:
    limiter = RateLimiter(LimitsSettings(max_rps_per_ip=3, rps_burst=1, rps_window_secs=1), store)
    assert await granted(limiter, 3) == [True] * 3
    error = await refusal(limiter.take(ADDRESS, []))
    assert error is not None
    assert error.retry_after is not None
    clock.now += error.retry_after
    assert await granted(limiter, 2) == [True, False]


@pytest.mark.parametrize(
    ("rate", "window", "burst", "capacity"), [(50, 1, 100, 100), (50, 10, 100, 500), (0.1, 1, 0, 1), (50, 1, 0, 50)]
)
async def test_the_capacity_is_the_burst_or_what_the_window_brings(
    store: LimiterStore, rate: float, window: float, burst: float, capacity: int
) -> None:
    limiter = RateLimiter(LimitsSettings(max_rps_per_ip=rate, rps_window_secs=window, rps_burst=burst), store)
    assert await granted(limiter, capacity + 1) == [True] * capacity + [False]


async def test_a_rate_of_nothing_is_no_limit(store: LimiterStore) -> None:
    limiter = RateLimiter(LimitsSettings(max_rps_per_ip=0), store)
    headers: Headers = []
    for _ in range(200):
        await limiter.take(ADDRESS, headers)
    assert headers == []


async def test_an_address_that_fails_too_often_is_refused_until_its_bucket_refills(
    store: LimiterStore, clock: HandClock
) -> None:
    limiter = FailedAuthLimiter(LimitsSettings(failed_auth_per_sec=1, failed_auth_burst=3), store)
    assert await granted(limiter, 4) == [True, True, True, False]
    assert await granted(limiter, 1, "198.51.100.1") == [True]
    clock.now += 1
    assert await granted(limiter, 2) == [True, False]


async def test_failures_and_requests_of_one_address_are_counted_apart(store: LimiterStore) -> None:
    settings = LimitsSettings(max_rps_per_ip=1, rps_burst=1, failed_auth_burst=1)
    failures, requests = FailedAuthLimiter(settings, store), RateLimiter(settings, store)
    await failures.drain(ADDRESS)
    await requests.take(ADDRESS, [])
    assert await granted(failures, 1) == [False]
    with pytest.raises(RateLimitedError):
        await requests.take(ADDRESS, [])


async def test_failures_without_a_limit_are_never_refused(store: LimiterStore) -> None:
    limiter = FailedAuthLimiter(LimitsSettings(failed_auth_per_sec=0), store)
    assert all(await granted(limiter, 100))


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
