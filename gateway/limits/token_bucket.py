"""May this organization ask now? A token bucket's verdict, with the headers that tell a client of it."""

import math

from msgspec import Struct

from gateway.core.asgi import Headers
from gateway.core.errors import RateLimitedError
from gateway.limits.settings import LimitsSettings
from gateway.store.protocol import LimiterStore

FAILED_AUTH_PREFIX = "failed-auth "
"""Keeps an address's failures apart from the requests of the organization of the same name."""

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS


class RateVerdict(Struct, frozen=True):
    """Whether a request may go on; `headers` belong on the answer in either case."""

    granted: bool
    retry_after: float
    headers: Headers
    complaint: str

    def error(self) -> RateLimitedError:
        """The refusal to raise when it was not granted."""
        return RateLimitedError(self.complaint, retry_after=self.retry_after)


WITHOUT_LIMIT = RateVerdict(granted=True, retry_after=0.0, headers=[], complaint="")


class RateLimiter:
    """One bucket of requests per organization."""

    def __init__(self, settings: LimitsSettings, store: LimiterStore) -> None:
        self._store = store
        self._bucket = bucket = settings.request_bucket()
        if bucket is not None:
            self._limit = (b"x-ratelimit-limit-requests", b"%d" % bucket.capacity)
            self._complaint = f"Rate limit reached: {bucket.rate:g} requests per second on average."

    async def take(self, organization: str) -> RateVerdict:
        """Spend one request of the organization's. Raises StoreUnavailableError when it cannot be counted.

        The headers are `x-ratelimit-{limit,remaining,reset}-requests` as OpenAI spells them; reset: until the bucket is
        full.
        """
        if self._bucket is None:
            return WITHOUT_LIMIT
        state = await self._store.take(organization, self._bucket)
        headers = [
            self._limit,
            (b"x-ratelimit-remaining-requests", b"%d" % state.remaining),
            (b"x-ratelimit-reset-requests", duration(state.reset_after)),
        ]
        return RateVerdict(state.granted, state.retry_after, headers, "" if state.granted else self._complaint)


class FailedAuthLimiter:
    """One bucket of failed authentications per address, so that guessing keys is slow and cheap to refuse."""

    def __init__(self, settings: LimitsSettings, store: LimiterStore) -> None:
        self._store = store
        self._bucket = settings.failed_auth_bucket()

    async def drain(self, address: str) -> RateVerdict:
        """Count one failure; not granted when the address had none left."""
        if self._bucket is None:
            return WITHOUT_LIMIT
        state = await self._store.take(FAILED_AUTH_PREFIX + address, self._bucket)
        complaint = "" if state.granted else "Too many failed authentications from this address."
        return RateVerdict(state.granted, state.retry_after, [], complaint)


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
