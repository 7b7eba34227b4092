"""In what standing is a backend's circuit, and what brought it there? The words for it."""

from enum import StrEnum
from typing import NamedTuple

from gateway.core.events import EventLog
from gateway.observability.families.backends import CIRCUIT_CHANGES
from gateway.observability.metrics import Metrics


class Standing(StrEnum):
    """What a circuit lets through."""

    CLOSED = "closed"
    """Everything: no fault is known."""
    OPEN = "open"
    """Nothing."""
    HALF_OPEN = "half_open"
    """One request, the trial, which decides."""


class Why(StrEnum):
    """What last changed a circuit."""

    FAILURES = "failures"
    """CIRCUIT_FAILURE_THRESHOLD of them in a row."""
    DRAINING = "draining"
    """The backend said that it shuts down."""
    RESTARTED = "restarted"
    """The prober saw it die and come back."""
    TRIAL_FAILED = "trial_failed"
    TRIAL_SUCCEEDED = "trial_succeeded"


class Change(NamedTuple):
    """One change of a circuit, for logs and metrics.

    Attributes:
        backend: its name.
        before: OPEN also where the pause was over and no trial had begun.
        after: see `Standing`.
        why: see `Why`.
        seconds: for how long it is open; 0 where it is not.
        elsewhere: another host has found that.
    """

    backend: str
    before: Standing
    after: Standing
    why: Why
    seconds: float = 0.0
    elsewhere: bool = False


def tell_circuit(log: EventLog, metrics: Metrics, change: Change) -> None:
    """One line and one count for a change, from the process that made it: a worker whose request did, or the prober."""
    metrics.count(CIRCUIT_CHANGES, change.backend, change.after)
    tell = log.warning if change.after is Standing.OPEN else log.info
    tell(
        "circuit_changed",
        backend=change.backend,
        before=change.before,
        after=change.after,
        reason=change.why,
        seconds=round(change.seconds, 1),
        **({"elsewhere": True} if change.elsewhere else {}),
    )
