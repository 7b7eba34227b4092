"""What was decided of a request before it waits? What the rooms behind the plan read; `proxy.planner` makes it."""

from typing import Protocol

from gateway.core.fleet import BackendGroup


class PlannedRoute(Protocol):
    """Where it goes: a `routing.registry.Route`."""

    @property
    def group(self) -> BackendGroup:
        """The servers that may answer it."""
        ...

    @property
    def asked(self) -> str:
        """The model's name as the client wrote it, or the group's where it wrote none."""
        ...

    @property
    def renamed(self) -> bool:
        """Whether that is another name than the model's at the backends, and the answer must bear it."""
        ...


class Wishes(Protocol):
    """What its body says of its answer: a `payload.peek.Peek`."""

    @property
    def include_usage(self) -> bool:
        """A stream ends with the usage."""
        ...

    @property
    def continuous_usage(self) -> bool:
        """A stream's every event states it."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """The largest bound stated on each choice's length; None when none is."""
        ...

    @property
    def n(self) -> int:
        """Choices per prompt."""
        ...

    @property
    def prompts(self) -> int:
        """How many prompts."""
        ...


class RequestPlan(Protocol):
    """One relayed request, decided: a `proxy.planner.Plan`."""

    @property
    def route(self) -> PlannedRoute:
        """The group, and the name that was asked for."""
        ...

    @property
    def body(self) -> bytes:
        """What the backend gets."""
        ...

    @property
    def unshaped(self) -> bytes:
        """The same without what the model's card changed; empty where that is nothing."""
        ...

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Header fields that the backend gets beside its usual ones; as a rule none."""
        ...

    @property
    def peeked(self) -> Wishes:
        """What the client's body says."""
        ...
