"""When may it start? A bounded, strictly FIFO queue in front of an organization's bounded number of slots."""

from types import TracebackType

from gateway.admission.settings import AdmissionSettings
from gateway.core.errors import QueueFullError, QueueTimeoutError
from gateway.store.errors import NoPlaceError, NoSlotError
from gateway.store.protocol import Grant, LimiterStore

MIN_RETRY_AFTER_SECS = 1.0
"""A slot is held for as long as an answer takes: a sooner retry would mostly meet the same queue."""


class Turnstile:
    """Hands out the slots of organizations."""

    def __init__(self, settings: AdmissionSettings, store: LimiterStore) -> None:
        self.store = store
        self.limit = settings.max_inflight_per_ip
        self.max_queued = settings.max_queued_per_ip
        self.patience = settings.queue_timeout_secs

    def slot(self, organization: str) -> "Slot":
        """A scope that holds one slot of the organization; use it once, in `async with`.

        Entering raises QueueFullError, QueueTimeoutError, or StoreUnavailableError when it cannot be counted.
        """
        return Slot(self, organization)


class Slot:
    """One slot, from the turn that was awaited to the last byte of the answer."""

    __slots__ = ("_grant", "_organization", "_turnstile")

    def __init__(self, turnstile: Turnstile, organization: str) -> None:
        self._turnstile = turnstile
        self._organization = organization
        self._grant: Grant | None = None

    async def __aenter__(self) -> Grant:
        turnstile = self._turnstile
        try:
            self._grant = await turnstile.store.acquire(
                self._organization,
                limit=turnstile.limit,
                max_queued=turnstile.max_queued,
                patience=turnstile.patience,
            )
        except NoPlaceError:
            raise QueueFullError(
                f"{turnstile.limit} requests are running and {turnstile.max_queued} are waiting already.",
                retry_after=max(turnstile.patience, MIN_RETRY_AFTER_SECS),
            ) from None
        except NoSlotError:
            raise QueueTimeoutError(
                f"{turnstile.limit} requests are running and none ended within {turnstile.patience:g} s.",
                retry_after=max(turnstile.patience, MIN_RETRY_AFTER_SECS),
            ) from None
        return self._grant

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the slot back now; it is given back once, however often this is called."""
        if self._grant is not None:
            self._turnstile.store.release(self._grant)
