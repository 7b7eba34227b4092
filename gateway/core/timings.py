"""Who is told how long a room's operations take, and which of them fail?"""

from typing import Protocol


class Timings(Protocol):
    """Hears of operations; their names are a few words of the room's own."""

    def took(self, operation: str, seconds: float) -> None:
        """One was done, or failed, after that time."""
        ...

    def failed(self, operation: str) -> None:
        """One could not be done."""
        ...


class Untimed:
    """Nobody is told."""

    def took(self, operation: str, seconds: float) -> None:
        """See `Timings`."""

    def failed(self, operation: str) -> None:
        """See `Timings`."""
