"""What must the own paths know of the fleet? The part of its view that they use."""

from collections.abc import Sequence
from typing import Protocol

from gateway.backends.health import Readiness
from gateway.backends.view import BackendStatus
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import BackendGroup
from gateway.core.worker import Drain


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
