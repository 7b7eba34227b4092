"""When may it start? A bounded, strictly FIFO queue in front of an organization's bounded number of slots."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from gateway.core.errors import QueueFullError, QueueTimeoutError, RateLimitedError
from gateway.core.principal import KEY_ACCOUNT
from gateway.core.refusal import Refusal
from gateway.store.errors import NoPlaceError, NoSlotError
from gateway.store.protocol import Grant, LimiterStore

if TYPE_CHECKING:
    from gateway.admission.settings import AdmissionSettings

MIN_RETRY_AFTER_SECS = 1.0
"""A slot is held for as long as an answer takes: a sooner retry would mostly meet the same queue."""


class Turnstile:
    """Hands out the slots of organizations and of keys."""

    def __init__(self, settings: "AdmissionSettings", store: LimiterStore) -> None:
        self._store = store
        self._limit = settings.max_inflight_per_ip
        self._max_queued = settings.max_queued_per_ip
        self._patience = settings.queue_timeout_secs
        self.leave = store.release
        """Gives a grant's slot to whoever waits first: call it in a `finally`, once or more often; it never raises."""

    def enter(self, organization: str) -> Coroutine[Any, Any, Grant]:
        """One slot of the organization, when its turn has come; a cancelled call holds nothing.

        Raises:
            QueueFullError: too many of its requests wait already.
            QueueTimeoutError: no slot became free in time.
            StoreUnavailableError: it cannot be counted.
        """
        return self._enter(organization, self._limit)

    def enter_by_key(self, key_id: str, limit: int) -> Coroutine[Any, Any, Grant]:
        """One of `limit` slots of an API key, as `enter` of an organization's."""
        return self._enter_for(Refusal.KEY_SLOTS, KEY_ACCOUNT + key_id, limit)

    async def _enter_for(self, refusal: Refusal, name: str, limit: int) -> Grant:
        try:
            return await self._enter(name, limit)
        except RateLimitedError as error:
            error.refusal = refusal
            raise

    async def _enter(self, name: str, limit: int) -> Grant:
        try:
            return await self._store.acquire(name, limit=limit, max_queued=self._max_queued, patience=self._patience)
        except NoPlaceError:
            raise QueueFullError(
                f"{limit} requests are running and {self._max_queued} are waiting already.",
                retry_after=max(self._patience, MIN_RETRY_AFTER_SECS),
            ) from None
        except NoSlotError:
            raise QueueTimeoutError(
                f"{limit} requests are running and no slot came free for this one within {self._patience:g} s.",
                retry_after=max(self._patience, MIN_RETRY_AFTER_SECS),
            ) from None
