"""What has this process counted? The figures of every family, each a few bytes of a page that the supervisor reads."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from math import fsum

from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Across, Family, Kind
from gateway.observability.families.processes import UPDATES_LOST
from gateway.observability.page import PageWriter, Series

LOST_SLOT = 0
"""Where every page counts UPDATES_LOST."""


class Figure:
    """A counter or gauge of one set of labels."""

    __slots__ = ("_slot", "_values")

    def __init__(self, values: "memoryview[float]", slot: int) -> None:
        self._values = values
        self._slot = slot

    def add(self, amount: float = 1.0) -> None:
        """Change it by that much."""
        self._values[self._slot] += amount

    def put(self, value: float) -> None:
        """Have it be that from now on, in this process."""
        self._values[self._slot] = value


class Distribution:
    """A histogram of one set of labels."""

    __slots__ = ("_bounds", "_buckets", "_sum", "_values")

    def __init__(self, values: "memoryview[float]", first: int, bounds: tuple[float, ...]) -> None:
        self._values = values
        self._sum = first
        self._buckets = first + 1
        self._bounds = bounds

    def observe(self, value: float) -> None:
        """Add one observation; what equals a bound belongs to its bucket."""
        values = self._values
        values[self._sum] += value
        values[self._buckets + bisect_left(self._bounds, value)] += 1.0

    def observe_all(self, observed: list[float]) -> None:
        """Add them all, one at the least, for less than it takes one by one; they are sorted here."""
        observed.sort()
        values, bounds = self._values, self._bounds
        values[self._sum] += fsum(observed)
        bucket, below = bisect_left(bounds, observed[0]), 0
        while below < len(observed) and bucket < len(bounds):
            upto = bisect_right(observed, bounds[bucket], below)
            values[self._buckets + bucket] += upto - below
            bucket, below = bucket + 1, upto
        values[self._buckets + bucket] += len(observed) - below


class Lost:
    """Stands in for what found no room: counts that there was something to count."""

    __slots__ = ("_values",)

    def __init__(self, values: "memoryview[float]") -> None:
        self._values = values

    def add(self, amount: float = 1.0) -> None:
        """One update more was lost."""
        del amount
        self._values[LOST_SLOT] += 1.0

    observe = put = add

    def observe_all(self, observed: list[float]) -> None:
        """As many were lost as these are."""
        self._values[LOST_SLOT] += len(observed)


class Metrics:
    """The figures of one process.

    Series that name a model or a backend get room as long as there is some to spare; from then on whatever names
    another one is counted as `other`, so that sums stay exact.

    Args:
        page: the page that the supervisor gave to this worker; None for figures that nobody collects.
    """

    def __init__(self, page: int | None = None) -> None:
        self._page = PageWriter(page)
        self._values = self._page.values
        self._figures: dict[tuple[Family, tuple[str, ...]], Figure] = {}
        self._distributions: dict[tuple[Family, tuple[str, ...]], Distribution] = {}
        # At zero from the start: an alert on a series that does not exist yet never fires. The first has LOST_SLOT.
        for family in (UPDATES_LOST, *CATALOGUE):
            if not family.labels and family.across is Across.SUM:
                make = self.distribution if family.kind is Kind.HISTOGRAM else self.figure
                make(family)

    def count(self, family: Family, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter."""
        self.figure(family, *labels).add(amount)

    def move(self, family: Family, by: float) -> None:
        """Add to a gauge; the living workers' values are summed when scraped."""
        self.figure(family).add(by)

    def observe(self, family: Family, value: float, *labels: str) -> None:
        """Add one observation to a histogram."""
        self.distribution(family, *labels).observe(value)

    def show(self, figures: Iterable[tuple[Family, tuple[str, ...], float]]) -> None:
        """Show these series of gauges, and none of those that were shown so before and are not among them.

        So a label may have any value, of which there are few at a time. Figures that find no room are counted as lost.
        """
        series = [Series(family.name, labels, [value]) for family, labels, value in figures]
        if not self._page.show(series):
            self.count(UPDATES_LOST, amount=len(series))

    def figure(self, family: Family, *labels: str) -> Figure | Lost:
        """The counter or gauge with these labels, to be kept by whoever updates it often."""
        found = self._figures.get((family, labels))
        if found is None:
            slot = self._open(family, labels)
            if slot is None:
                gathered = family.gathered(labels)
                return Lost(self._values) if gathered == labels else self.figure(family, *gathered)
            found = self._figures[family, labels] = Figure(self._values, slot)
        return found

    def distribution(self, family: Family, *labels: str) -> Distribution | Lost:
        """The histogram with these labels, to be kept by whoever updates it often."""
        found = self._distributions.get((family, labels))
        if found is None:
            first = self._open(family, labels)
            if first is None:
                gathered = family.gathered(labels)
                return Lost(self._values) if gathered == labels else self.distribution(family, *gathered)
            found = self._distributions[family, labels] = Distribution(self._values, first, family.buckets)
        return found

    def _open(self, family: Family, labels: tuple[str, ...]) -> int | None:
        assert len(labels) == len(family.labels), f"{family.name} has the labels {family.labels}"  # noqa: S101 -- for us
        return self._page.add(family.name, labels, family.width, spares=family.gathered(labels) != labels)
