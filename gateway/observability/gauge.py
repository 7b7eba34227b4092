"""What is shown of what changes? A gauge that is set, where pages of figures only add."""

from gateway.observability.families.family import Family
from gateway.observability.metrics import Metrics


class Gauge:
    """One gauge of this process; all processes' are added up."""

    def __init__(self, metrics: Metrics, family: Family, *labels: str) -> None:
        self._figure = metrics.figure(family, *labels)
        self._shown = 0.0

    def set(self, value: float) -> None:
        """Show this from now on."""
        self._figure.add(value - self._shown)
        self._shown = value
