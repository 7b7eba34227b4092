"""Why can nobody take it? The fleet's state as failures: each means that no backend has run the request."""

from gateway.core.errors import UnavailableError
from gateway.core.refusal import Refusal

BUSY_RETRY_SECS = 1.0
"""vLLM states no Retry-After; its queue moves within seconds."""


class NoBackendError(UnavailableError):
    """No backend of the group took the request, and none has run it: the group's fallback may."""

    refusal = Refusal.NO_BACKEND


class DownError(NoBackendError):
    """No backend of the group is in a state to take requests."""

    def __init__(self, why: str, retry_after: float) -> None:
        super().__init__(f"No model server takes requests now ({why or 'unknown'}).", retry_after=retry_after)


class SuspectedError(DownError):
    """The same, but some may only seem to hang: they are asked where no other group answers in their stead."""


class UnreachableError(NoBackendError):
    """None could be connected to."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("No model server could be reached.", retry_after=retry_after)


class BusyError(NoBackendError):
    """All of them refused."""

    refusal = Refusal.BACKENDS_BUSY

    def __init__(self) -> None:
        super().__init__("The model servers are busy. Try again shortly.", retry_after=BUSY_RETRY_SECS)


class NoFreeSeatError(NoBackendError):
    """Every seat is taken, and the request has not begun to wait for one: its group's fallback may have one free."""

    refusal = Refusal.BACKEND_QUEUE

    def __init__(self) -> None:
        super().__init__("The model servers are full.", retry_after=BUSY_RETRY_SECS)


class SeatsTakenError(NoBackendError):
    """MAX_INFLIGHT_PER_BACKEND requests run at each of them, and too many wait, or this one has for too long."""

    code = "backend_queue_full"
    refusal = Refusal.BACKEND_QUEUE
