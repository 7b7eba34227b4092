"""What must be known of backends to choose one? The conductor's view of the board, the breaker and who is available."""

from typing import Protocol

from gateway.core.fleet import Backend, BackendGroup


class Choice(Protocol):
    """Whom a request may try, as far as is known."""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends that take requests; empty when none does."""
        ...

    @property
    def trial(self) -> Backend | None:
        """One whose breaker is half-open: a single request may try it, whoever takes the trial."""
        ...

    @property
    def retry_after(self) -> float:
        """Seconds until it may look better, where there are no backends."""
        ...

    @property
    def why(self) -> str:
        """One word for their state, where there are none."""
        ...


class Availability(Protocol):
    """Knows who takes requests now."""

    def of(self, group: BackendGroup) -> Choice:
        """The choice among a group's backends; asked for every request, and so the same object until it changes."""
        ...


class Board(Protocol):
    """Where all processes of the host tell each other of backends, each backend by its index."""

    def index(self, name: str) -> int:
        """The place of the backend of that name."""
        ...

    def begin(self, index: int) -> None:
        """One request more runs there."""
        ...

    def end(self, index: int) -> None:
        """One request less."""
        ...

    def answered(self, index: int) -> None:
        """One request less, as it was answered to its end."""
        ...

    def alive(self, index: int, at: float) -> None:
        """A running stream there had a token at that moment of the monotonic clock."""
        ...

    def suspect(self, index: int, until: float) -> None:
        """A connection to it has just failed: it should be looked at now, and is not to be trusted until then."""
        ...

    def suspected_until(self, index: int) -> float:
        """Until when it is suspected; a moment that has passed means that it is not."""
        ...


class Breaker(Protocol):
    """Counts failures in a row, over all workers."""

    def take_trial(self, index: int) -> bool:
        """Whether ours is the one request that may try a half-open backend; how that went must be told."""
        ...

    def succeeded(self, index: int, *, trial: bool = False) -> None:
        """It answered."""
        ...

    def failed(self, index: int, *, trial: bool = False) -> None:
        """It failed."""
        ...

    def neutral(self, index: int, *, trial: bool = False) -> None:
        """Nothing is known of it: where that was the trial, another request may take it."""
        ...

    def trip(self, index: int) -> None:
        """It said that it shuts down."""
        ...
