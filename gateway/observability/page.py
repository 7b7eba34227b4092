"""Where does a worker count? In a page of memory that its supervisor reads too, and that outlives a kill -9."""

import mmap
import threading
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from gateway.core.records import HEAD_BYTES, record_of, words_at
from gateway.core.sealed_memory import sealed_memory

VALUES = 16_384
"""Doubles of a page. A histogram takes some 18 of them, a counter one; four workers' pages are 2 MB together."""
VALUES_BYTES = VALUES * 8
KEYS_BYTES = 384 * 1024
"""Room for the names: 64 bytes and more for each series, of which a page full of counters would have 16,384."""
PAGE_BYTES = VALUES_BYTES + KEYS_BYTES


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
        self._keys = memory[VALUES_BYTES:]
        self._next_value = 0
        self._next_key = 0
        self._adding = threading.Lock()

    def add(self, family: str, labels: tuple[str, ...], width: int) -> int | None:
        """The first of `width` slots for a series; None when the page is full. Readers sum what is added twice."""
        with self._adding:
            record = record_of(orjson.dumps((family, labels, self._next_value, width)))
            end = self._next_key + len(record)
            if self._next_value + width > VALUES or end + HEAD_BYTES > KEYS_BYTES:  # zeros end the table
                return None
            self._keys[self._next_key : end] = record
            first = self._next_value
            self._next_key, self._next_value = end, first + width
            return first


class PageReader:
    """A page as another process sees it, at any moment, also while it is written and after its writer's death.

    A series counts from the moment when its whole record is seen. Records are only ever added, so each is read once.
    """

    def __init__(self, page: int) -> None:
        self._memory = memoryview(mmap.mmap(page, PAGE_BYTES, prot=mmap.PROT_READ))
        self._values = self._memory[:VALUES_BYTES].cast("d")
        self._known: list[tuple[str, tuple[str, ...], int, int]] = []
        self._position = VALUES_BYTES

    def read(self) -> Iterator[Series]:
        """Every series with its figures of this moment; a histogram's may be one observation apart."""
        self._learn()
        for family, labels, first, width in self._known:
            yield Series(family, labels, list(self._values[first : first + width]))

    def _learn(self) -> None:
        while (words := words_at(self._memory, self._position, KEYS_BYTES)) is not None:
            family, labels, first, width = orjson.loads(words)
            self._known.append((family, tuple(labels), first, width))
            self._position += HEAD_BYTES + len(words)
