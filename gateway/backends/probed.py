"""What came of a probe, for whoever logs and counts?"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.backends.health import BackendHealth, State
from gateway.core.events import EventLog
from gateway.core.fleet import Backend


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe's outcome, for whoever logs and counts.

    Attributes:
        backend: which one.
        before: the verdict until now.
        after: the verdict from now on.
        ours: how many requests of ours are there.
        began: when the probe began, in seconds on the monotonic clock.
    """

    backend: Backend
    before: BackendHealth
    after: BackendHealth
    ours: int
    began: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether there is something new to be told."""
        return (self.after.state, self.after.reason) != (self.before.state, self.before.reason)


OnProbe = Callable[[Probed], None]


def tell_change(log: EventLog, probed: Probed) -> None:
    """Log that a backend came or went."""
    if probed.changed:
        tell = log.warning if probed.after.state is State.DOWN else log.info
        tell("backend_changed", backend=probed.backend.name, state=probed.after.state, reason=probed.after.reason)
