"""What is a metric family? A name, a kind, what it means, its labels and buckets."""

from dataclasses import dataclass
from enum import StrEnum

UNITS = frozenset({"seconds", "bytes", "ratio"})
NAMED = frozenset({"backend", "fallback", "group", "model"})
"""Labels whose values operators make up, at run time too: in time more of them come than a page has room for."""
OTHER = "other"
"""What such a label says of all that found no room."""


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

    def gathered(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels of the series in which all are counted that found no room under names of their own."""
        named = zip(self.labels, labels, strict=True)
        return tuple(OTHER if label in NAMED and value else value for label, value in named)

    @property
    def width(self) -> int:
        """Figures of one series: one, or a histogram's sum, its buckets and the one without a bound."""
        return len(self.buckets) + 2 if self.kind is Kind.HISTOGRAM else 1
