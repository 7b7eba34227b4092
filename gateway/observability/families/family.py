"""What is a metric family? A name, a kind, what it means, its labels and buckets."""

from dataclasses import dataclass
from enum import StrEnum

UNITS = frozenset({"seconds", "bytes", "ratio"})


class Kind(StrEnum):
    """The three shapes of a family."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Across(StrEnum):
    """What a gauge shows of the figures of several processes."""

    SUM = "sum"
    LEAST = "least"
    """Of those that have one; where none has, there is no series."""


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One metric family; label values come from bounded sets only, so that strangers cannot add series.

    A family is equal to itself alone: a hash over its words would cost more than the count.
    """

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Across = Across.SUM

    @property
    def unit(self) -> str:
        """What it is measured in, as OpenMetrics states it: the last word of its name; empty for what is counted."""
        last = self.name.rpartition("_")[2]
        return last if last in UNITS else ""

    @property
    def width(self) -> int:
        """Figures of one series: one, or a histogram's sum, its buckets and the one without a bound."""
        return len(self.buckets) + 2 if self.kind is Kind.HISTOGRAM else 1
