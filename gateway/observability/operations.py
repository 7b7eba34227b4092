"""How long do a room's operations take, and how many fail? What a room tells as `core.timings.Timings`, as figures."""

from collections.abc import Iterable

from gateway.observability.families.family import Family
from gateway.observability.metrics import Metrics


class Operations:
    """The operations of one room, by their names.

    Args:
        metrics: the process's.
        seconds: a histogram with the label `operation`.
        errors: a counter with the same.
        names: those that are shown from the start on: a first error is then seen as a rise.
    """

    def __init__(self, metrics: Metrics, seconds: Family, errors: Family, names: Iterable[str]) -> None:
        self._metrics = metrics
        self._seconds = seconds
        self._errors = errors
        for name in names:
            metrics.distribution(seconds, name)
            metrics.figure(errors, name)

    def took(self, operation: str, seconds: float) -> None:
        """See `Timings`."""
        self._metrics.observe(self._seconds, seconds, operation)

    def failed(self, operation: str) -> None:
        """See `Timings`."""
        self._metrics.count(self._errors, operation)
