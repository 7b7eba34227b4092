"""What have all workers counted together? The pages of the living, and the sums of those who have gone."""

import contextlib
import os
import threading
from collections.abc import Container, Iterable, Iterator

from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Across, Kind
from gateway.observability.page import PageReader, Series, create_page

Sums = dict[str, dict[tuple[str, ...], list[float]]]
"""By a family's name and a series' labels: its figures as in `page.Series`."""

WIDTHS = {family.name: family.width for family in CATALOGUE}
LIVE = {family.name for family in CATALOGUE if family.kind is Kind.GAUGE}
"""What is true of the living only."""
LEAST = {family.name for family in CATALOGUE if family.across is Across.LEAST}
"""Of which the smallest figure is shown."""


class Totals:
    """The supervisor's view; safe to read from another thread.

    Exact over any number of deaths: a page is added to the departed and dropped in one step, under the lock that a
    reader holds too, so that nothing is missing or counted twice at any moment. What the departed counted lives in
    this process alone: when it ends, its workers end too, and Prometheus sees all counters begin again.
    """

    def __init__(self) -> None:
        self._living: list[PageReader] = []
        # Series without labels exist whoever lives: between two workers a gauge is 0, not absent.
        self._departed: Sums = {
            one.name: {(): [0.0] * one.width} for one in CATALOGUE if not one.labels and one.name not in LEAST
        }
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def page(self) -> Iterator[int]:
        """A page for one worker, as a descriptor to inherit; leave the scope when the worker has died.

        Raises:
            OSError: there is no memory, or no descriptor, for it.
        """
        descriptor = create_page()
        try:
            reader = PageReader(descriptor)
            with self._lock:
                self._living.append(reader)
            try:
                yield descriptor
            finally:
                self._depart(reader)
        finally:
            os.close(descriptor)

    def sums(self, families: Container[str] | None = None) -> Sums:
        """The figures of this moment; of the families with these names alone, where some are named."""
        sums: Sums = {}
        with self._lock:
            for name, series in self._departed.items():
                if families is None or name in families:
                    sums[name] = {labels: list(values) for labels, values in series.items()}
            for reader in self._living:
                add(sums, reader.read(families))
        return sums

    def _depart(self, reader: PageReader) -> None:
        with self._lock:
            self._living.remove(reader)
            add(self._departed, (series for series in reader.read() if series.family not in LIVE))


def add(sums: Sums, page: Iterable[Series]) -> None:
    """Add a page's figures. What this code does not know is left out: a worker may have started from newer code."""
    for family, labels, values in page:
        if WIDTHS.get(family) != len(values):
            continue
        known = sums.setdefault(family, {})
        before = known.get(labels)
        if before is None:
            known[labels] = values
        elif family in LEAST:
            known[labels] = [min(before[0], values[0])]
        else:
            known[labels] = [old + new for old, new in zip(before, values, strict=True)]
