"""What can the store refuse? Its own words, which `limits/` and `admission/` turn into a caller's."""

from gateway.core.errors import UnavailableError
from gateway.core.refusal import Refusal


class NoPlaceError(Exception):
    """The key's queue is full; nothing was taken."""


class NoSlotError(Exception):
    """No slot came free within the time-out; the place in the queue is given up."""


class StoreUnavailableError(UnavailableError):
    """The shared state cannot be written now: what cannot be counted is not admitted."""

    refusal = Refusal.STORE
