"""What has this process counted? The figures of every family, each a few bytes of a page that the supervisor reads."""

from bisect import bisect_left

from gateway.observability.families import CATALOGUE, UPDATES_LOST, Family
from gateway.observability.page import PageWriter

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


class Lost:
    """Stands in for what found no room: counts that there was something to count."""

    __slots__ = ("_values",)

    def __init__(self, values: "memoryview[float]") -> None:
        self._values = values

    def add(self, amount: float = 1.0) -> None:
        """One update more was lost."""
        del amount
        self._values[LOST_SLOT] += 1.0

    observe = add


class Metrics:
    """The figures of one process.

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
            if not family.labels:
                self.figure(family)

    def count(self, family: Family, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter."""
        self.figure(family, *labels).add(amount)

    def move(self, family: Family, by: float) -> None:
        """Add to a gauge; the living workers' values are summed when scraped."""
        self.figure(family).add(by)

    def observe(self, family: Family, value: float, *labels: str) -> None:
        """Add one observation to a histogram."""
        self.distribution(family, *labels).observe(value)

    def figure(self, family: Family, *labels: str) -> Figure | Lost:
        """The counter or gauge with these labels, to be kept by whoever updates it often."""
        found = self._figures.get((family, labels))
        if found is None:
            slot = self._open(family, labels)
            if slot is None:
                return Lost(self._values)
            found = self._figures[family, labels] = Figure(self._values, slot)
        return found

    def distribution(self, family: Family, *labels: str) -> Distribution | Lost:
        """The histogram with these labels, to be kept by whoever updates it often."""
        found = self._distributions.get((family, labels))
        if found is None:
            first = self._open(family, labels)
            if first is None:
                return Lost(self._values)
            found = self._distributions[family, labels] = Distribution(self._values, first, family.buckets)
        return found

    def _open(self, family: Family, labels: tuple[str, ...]) -> int | None:
        assert len(labels) == len(family.labels), f"{family.name} has the labels {family.labels}"  # noqa: S101 -- for us
        return self._page.add(family.name, labels, family.width)
