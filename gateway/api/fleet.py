"""What must the own paths know of the fleet? The part of its view that they use."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gateway.backends.health import Readiness
from gateway.backends.view import BackendStatus
from gateway.core.clock import Clock
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import BackendGroup
from gateway.core.worker import Drain

KEYS_UNKNOWN: Final = "keys_unknown"
KEYS_AWAITED_SECS: Final = 5.0
"""From a worker's start: a control process that does not come up is not waited for. One that does takes 1 s."""


class Models(Protocol):
    """The models that there are now. A `Roster` is one, for as long as it is in force."""

    @property
    def groups(self) -> tuple[BackendGroup, ...]:
        """All of them."""
        ...

    def of_kind(self, kind: ModelKind) -> tuple[BackendGroup, ...]:
        """Those that can do that."""
        ...


class FleetView(Protocol):
    """The fleet's state now. `BoardView` is one; whoever drains wraps it to say so."""

    def ready(self) -> Readiness:
        """Whether requests can be answered, and one word why not."""
        ...

    def statuses(self) -> Sequence[BackendStatus]:
        """Every backend with its verdict."""
        ...

    def max_model_len(self, group: BackendGroup) -> int | None:
        """The context length of a group's model in tokens, None when no backend has told it."""
        ...


class KeysAwaited:
    """A fleet's state as a worker sees it that does not know its API keys yet: not ready, for a while at the most.

    Args:
        fleet: the state otherwise.
        known: whether all that can be known of keys for now is.
        clock: how long it is waited for.
    """

    def __init__(self, fleet: FleetView, known: Callable[[], bool], clock: Clock) -> None:
        self._fleet = fleet
        self._known = known
        self._clock = clock
        self._until = clock.monotonic() + KEYS_AWAITED_SECS

    def ready(self) -> Readiness:
        """Not ready on a host on which nothing was published yet; requests that need nothing of it are served."""
        verdict = self._fleet.ready()
        if verdict.ready and not self._known() and self._clock.monotonic() < self._until:
            return Readiness(ready=False, reason=KEYS_UNKNOWN)
        return verdict

    def statuses(self) -> Sequence[BackendStatus]:
        """Every backend with its verdict."""
        return self._fleet.statuses()

    def max_model_len(self, group: BackendGroup) -> int | None:
        """The context length of a group's model in tokens, None when no backend has told it."""
        return self._fleet.max_model_len(group)


class DrainAware:
    """A fleet's state as a worker sees it that may be going away: draining, it is not ready, whatever stands behind."""

    def __init__(self, fleet: FleetView, drain: Drain) -> None:
        self._fleet = fleet
        self._drain = drain

    def ready(self) -> Readiness:
        """Not ready from the drain's first moment, so that a balancer looks elsewhere."""
        return Readiness(ready=False, reason="draining") if self._drain.draining else self._fleet.ready()

    def statuses(self) -> Sequence[BackendStatus]:
        """Every backend with its verdict."""
        return self._fleet.statuses()

    def max_model_len(self, group: BackendGroup) -> int | None:
        """The context length of a group's model in tokens, None when no backend has told it."""
        return self._fleet.max_model_len(group)
