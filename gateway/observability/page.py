"""Where does a worker count? In a page of memory that its supervisor reads too, and that outlives a kill -9."""

import mmap
import threading
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

import orjson

from gateway.core.records import HEAD_BYTES, record_of, words_at
from gateway.core.sealed_memory import sealed_memory

VALUES = 24_576
"""Doubles of a page. A histogram takes some 18 of them, a counter one, a model that streams some 95: there is room for
230 such models, of which 64 can be in force at a time. Four workers' pages are 2.8 MB together."""
VALUES_BYTES = VALUES * 8
KEYS_BYTES = 384 * 1024
"""Room for the names: 64 bytes and more for each series, of which there are some 14 for each model."""
SPARE_VALUES = 2_048
"""Of all values; see `PageWriter.add`. All series that name no model and no backend take less than half of it."""
SPARE_KEYS_BYTES = 48 * 1024
"""Likewise of the room for names."""
SHOWN_BYTES = 128 * 1024
"""Room for gauges whose series come and go: some 100 bytes each, 170 at the most. The backends of a full board, under
names of 64 letters, take 100 KB."""
PAGE_BYTES = VALUES_BYTES + KEYS_BYTES + SHOWN_BYTES
SHOWN_AT = VALUES_BYTES + KEYS_BYTES
TRIES = 10
"""How often what is shown is read again that was written meanwhile; then it is what was read before."""


class Series(NamedTuple):
    """One series as a page holds it; `values` is one figure, or a histogram's sum and then its buckets."""

    family: str
    labels: tuple[str, ...]
    values: list[float]


def create_page() -> int:
    """A descriptor of a new page, all zeros; see `core.sealed_memory`.

    Raises:
        OSError: there is not enough memory.
    """
    return sealed_memory("gateway-figures", PAGE_BYTES)


class PageWriter:
    """The page's one writing process.

    `values[slot] += amount` is an aligned store of eight bytes, which x86-64 and arm64 never show by halves. It runs
    without a point at which CPython would let another thread in, so that threads lose nothing to each other either.

    Args:
        page: the inherited descriptor; None for figures that nobody collects.
    """

    def __init__(self, page: int | None = None) -> None:
        memory = memoryview(mmap.mmap(-1 if page is None else page, PAGE_BYTES))
        self.values = memory[:VALUES_BYTES].cast("d")
        self._keys = memory[VALUES_BYTES:SHOWN_AT]
        self._shown = memory[SHOWN_AT:]
        self._next_value = 0
        self._next_key = 0
        self._adding = threading.Lock()

    def add(self, family: str, labels: tuple[str, ...], width: int, *, spares: bool = False) -> int | None:
        """The first of `width` slots for a series; None when the page is full. Readers sum what is added twice.

        Args:
            family: its name.
            labels: their values.
            width: how many figures it has.
            spares: leaves SPARE_VALUES and SPARE_KEYS_BYTES to others.
        """
        values, keys = (VALUES - SPARE_VALUES, KEYS_BYTES - SPARE_KEYS_BYTES) if spares else (VALUES, KEYS_BYTES)
        with self._adding:
            record = record_of(orjson.dumps((family, labels, self._next_value, width)))
            end = self._next_key + len(record)
            if self._next_value + width > values or end + HEAD_BYTES > keys:  # zeros end the table
                return None
            self._keys[self._next_key : end] = record
            first = self._next_value
            self._next_key, self._next_value = end, first + width
            return first

    def show(self, series: Iterable[Series]) -> bool:
        """Put these in the place of all that were shown; False: they find no room, and those before stay.

        Unlike what is added, it goes again: for labels that are bounded at a time, and not over time.
        """
        record = record_of(orjson.dumps([tuple(one) for one in series]))
        if len(record) > SHOWN_BYTES:
            return False
        self._shown[: len(record)] = record
        return True


class PageReader:
    """A page as another process sees it, at any moment, also while it is written and after its writer's death.

    A series counts from the moment when its whole record is seen. Records are only ever added, so each is read once.
    """

    def __init__(self, page: int) -> None:
        self._memory = memoryview(mmap.mmap(page, PAGE_BYTES, prot=mmap.PROT_READ))
        self._values = self._memory[:VALUES_BYTES].cast("d")
        self._known: list[tuple[str, tuple[str, ...], int, int]] = []
        self._position = VALUES_BYTES
        self._shown: list[Series] = []

    def read(self, families: Container[str] | None = None) -> Iterator[Series]:
        """Every series with its figures of this moment; a histogram's may be one observation apart.

        Args:
            families: names of those that are wanted; None: all.
        """
        self._learn()
        for family, labels, first, width in self._known:
            if families is None or family in families:
                yield Series(family, labels, list(self._values[first : first + width]))
        yield from (series for series in self._look() if families is None or series.family in families)

    def _learn(self) -> None:
        while (words := words_at(self._memory, self._position, KEYS_BYTES)) is not None:
            family, labels, first, width = orjson.loads(words)
            self._known.append((family, tuple(labels), first, width))
            self._position += HEAD_BYTES + len(words)

    def _look(self) -> list[Series]:
        """What is shown now, or a moment ago."""
        for _ in range(TRIES):
            words = words_at(self._memory, SHOWN_AT, SHOWN_BYTES)
            if words is not None:
                self._shown = [Series(family, tuple(labels), values) for family, labels, values in orjson.loads(words)]
                break
            if not any(self._memory[SHOWN_AT : SHOWN_AT + HEAD_BYTES]):
                break  # nothing was ever shown
        return self._shown
