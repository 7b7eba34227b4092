"""Metrics that a test can read without knowing how they are kept."""

from collections import Counter

from gateway.observability.metrics import Family, Metrics


class NotedMetrics(Metrics):
    """Notes every update.

    Attributes:
        counted: sums, by family name and labels.
        observed: observations, by family name and labels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[tuple[str, ...]] = Counter()
        self.observed: dict[tuple[str, ...], list[float]] = {}

    def count(self, family: Family, *labels: str, amount: float = 1.0) -> None:
        super().count(family, *labels, amount=amount)
        self.counted[(family.name, *labels)] += amount  # type: ignore[assignment]  # a sum of whole numbers

    def move(self, family: Family, by: float) -> None:
        super().move(family, by)
        self.counted[(family.name,)] += by  # type: ignore[assignment]  # the same

    def observe(self, family: Family, value: float, *labels: str) -> None:
        super().observe(family, value, *labels)
        self.observed.setdefault((family.name, *labels), []).append(value)
