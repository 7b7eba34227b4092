"""How evenly do tokens come? Gaps between them, noted by an append each and counted ten times a second."""

from collections.abc import Callable

from gateway.observability.families.streams import INTER_TOKEN
from gateway.observability.metrics import Metrics


class Gaps:
    """Seconds between tokens, of all streams of this worker, by their group.

    A stream has hundreds of them, and adding one to a histogram takes 2,400 instructions; noted first and counted
    together they take half of that (docs/decisions/0082). What is noted and not counted is lost with the worker.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._noted: dict[str, list[float]] = {}

    def of(self, group: str) -> Callable[[float], None]:
        """What notes one of the group's."""
        noted = self._noted.get(group)
        if noted is None:
            noted = self._noted[group] = []
        return noted.append

    def count(self) -> None:
        """Add what was noted to the histograms."""
        for group, noted in self._noted.items():
            if noted:
                self._metrics.distribution(INTER_TOKEN, group).observe_all(noted)
                noted.clear()
