"""May this organization ask now? One token of its bucket, and the headers that tell a client what is left."""

import math
from typing import TYPE_CHECKING

from gateway.core.asgi import Headers
from gateway.core.errors import RateLimitedError
from gateway.core.refusal import Refusal
from gateway.store.protocol import Bucket, LimiterStore

if TYPE_CHECKING:
    from gateway.limits.settings import LimitsSettings

FAILED_AUTH_PREFIX = "failed-auth "
"""Keeps an address's failures apart from the requests of the organization of the same name."""

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS


def request_bucket(settings: "LimitsSettings") -> Bucket | None:
    """An organization's bucket: max(RPS_BURST, rate x window) tokens, one at least; None when there is no limit."""
    rate = settings.max_rps_per_ip
    return Bucket(rate, max(settings.rps_burst, rate * settings.rps_window_secs, 1.0)) if rate else None


def failed_auth_bucket(settings: "LimitsSettings") -> Bucket | None:
    """An address's bucket for failures; None when there is no limit."""
    rate = settings.failed_auth_per_sec
    return Bucket(rate, settings.failed_auth_burst) if rate else None


class RateLimiter:
    """One bucket of requests per organization."""

    def __init__(self, settings: "LimitsSettings", store: LimiterStore) -> None:
        self._store = store
        self._bucket = bucket = request_bucket(settings)
        if bucket is not None:
            self._limit = (b"x-ratelimit-limit-requests", b"%d" % bucket.capacity)
            self._complaint = f"Rate limit reached: {bucket.rate:g} requests per second on average."

    async def take(self, organization: str, headers: Headers) -> None:
        """Spend one request of the organization's, and add to `headers` what belongs on the answer in either case.

        That is `x-ratelimit-{limit,remaining,reset}-requests` as OpenAI spells them; reset: until the bucket is full.

        Raises:
            RateLimitedError: the bucket is empty.
            StoreUnavailableError: it cannot be counted.
        """
        if self._bucket is None:
            return
        state = await self._store.take(organization, self._bucket)
        headers += (
            self._limit,
            (b"x-ratelimit-remaining-requests", b"%d" % state.remaining),
            (b"x-ratelimit-reset-requests", duration(state.reset_after)),
        )
        if not state.granted:
            raise RateLimitedError(self._complaint, retry_after=state.retry_after)


class TooManyFailuresError(RateLimitedError):
    """An address has sent more wrong keys than it may."""

    refusal = Refusal.FAILED_AUTH


class FailedAuthLimiter:
    """One bucket of failed authentications per address, so that guessing keys is slow and cheap to refuse."""

    def __init__(self, settings: "LimitsSettings", store: LimiterStore) -> None:
        self._store = store
        self._bucket = failed_auth_bucket(settings)

    async def drain(self, address: str) -> None:
        """Count one failure.

        Raises:
            TooManyFailuresError: the address had none left.
            StoreUnavailableError: it cannot be counted.
        """
        if self._bucket is None:
            return
        state = await self._store.take(FAILED_AUTH_PREFIX + address, self._bucket)
        if not state.granted:
            raise TooManyFailuresError(
                "Too many failed authentications from this address.", retry_after=state.retry_after
            )


def duration(seconds: float) -> bytes:
    """Seconds as `12ms`, `1.98s`, `6m0s`, `1h0m30s`; rounded up, so that nobody comes back too early."""
    milliseconds = math.ceil(seconds * 1000)
    if 0 < milliseconds < SECOND_MS:
        return b"%dms" % milliseconds
    if milliseconds < MINUTE_MS:
        return b"%gs" % (milliseconds / SECOND_MS)
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return b"%dh%dm%ds" % (hours, minutes, rest) if hours else b"%dm%ds" % (minutes, rest)
