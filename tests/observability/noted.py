"""Figures read as the supervisor reads them: from the page that the metrics were given."""

import os

from gateway.observability.metrics import Metrics
from gateway.observability.page import PageReader, Series, create_page


class CountedMetrics(Metrics):
    """Metrics whose figures a test can read."""

    def __init__(self) -> None:
        page = create_page()
        super().__init__(page)
        self._reader = PageReader(page)
        os.close(page)

    def series(self) -> list[Series]:
        """All there are, whatever their figures."""
        return list(self._reader.read())

    @property
    def counted(self) -> dict[tuple[str, ...], float]:
        """Counters and gauges that are not zero, by family name and labels."""
        return {
            (one.family, *one.labels): one.values[0]
            for one in self._reader.read()
            if len(one.values) == 1 and one.values[0]
        }

    @property
    def observed(self) -> dict[tuple[str, ...], tuple[float, float]]:
        """Histograms that are not empty: their sum, and how many observations they hold."""
        return {
            (one.family, *one.labels): (one.values[0], sum(one.values[1:]))
            for one in self._reader.read()
            if sum(one.values[1:])
        }
