"""What is booked of the requests in a worker's tranches if it dies? A file that it maps, which outlives its kill.

Nothing in the tree tells of them until their tranche is written down: docs/decisions/0071.
"""

import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

BOOK_BYTES = 256 * 1024
"""Some thousand requests with their records; more between two ticks cost a transaction for each book full."""

NUMBER = struct.Struct("=Q")
HEAD = "=3QB"
"""Bytes up to the next entry, 0 where there is none; token, tokens, and what has become of it. The record follows."""
TAIL = "QQ"
"""Number of the tranche, and the next entry's first word: none yet."""
COST = struct.Struct("=QB")
"""The last two of the head."""

NOTHING, ONE_REQUEST, RUNNING = 0, 1, 2
"""What has become of a request: it cost none, it cost one, or it runs, and its will counts one."""

_write_number = NUMBER.pack_into
_write_cost = COST.pack_into
_HEAD = struct.Struct(HEAD)
_RECORD_AT = _HEAD.size
_COST_AT = _RECORD_AT - COST.size


class _Shapes(dict[int, tuple[Callable[..., None], int]]):
    """How to write an entry by the length of its record, and how many bytes it takes before the next one."""

    def __missing__(self, size: int) -> tuple[Callable[..., None], int]:
        shape = struct.Struct(f"{HEAD}{size}s{TAIL}")
        self[size] = shape.pack_into, shape.size - NUMBER.size
        return self[size]


_shapes = _Shapes()


class Entry(NamedTuple):
    """One request, the tranche that it is of, and what is booked for it.

    Attributes:
        tranche: the tranche's number.
        token: the request's.
        tokens: what it cost, or what its will says.
        requests: 1, or 0 where nothing was run or answered.
        running: it was not settled: `record` is its last word.
        record: for the journal.
    """

    tranche: int
    token: int
    tokens: int
    requests: int
    running: bool
    record: bytes


class WillBook:
    """The wills of one worker, at `directory`/`worker`.wills; those of tranches that are no more mean nothing."""

    def __init__(self, directory: Path, worker: int) -> None:
        file = os.open(path_of(directory, worker), os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, BOOK_BYTES)  # a write to a map without memory behind it is a SIGBUS
            self._map = mmap.mmap(file, BOOK_BYTES)
        finally:
            os.close(file)
        self._room = BOOK_BYTES - NUMBER.size
        self._end = 0
        self.clear()

    def add(self, tranche: int, token: int, tokens: int, record: bytes) -> int | None:
        """Write one down, at its place; None: there is no room.

        Whenever a kill comes, it is there or not: what is packed is zeroed first, and then written in order, so that an
        entry that is not whole has no tranche's number behind it. An end of the book's own cost 700 instructions more.
        """
        write, size = _shapes[len(record)]
        start = self._end
        end = start + size
        if end > self._room:
            return None
        write(self._map, start, size, token, tokens, RUNNING, record, tranche, 0)
        self._end = end
        return start

    def settle(self, costs: Iterable[tuple[int, int, int]]) -> None:
        """Requests have ended, and their records are where they belong: only what they cost is still to be counted.

        Args:
            costs: of each its place here, 1 or 0 requests, and tokens.
        """
        page = self._map
        for place, requests, tokens in costs:
            _write_cost(page, place + _COST_AT, tokens, requests)

    def clear(self) -> None:
        """Forget all."""
        self._end = 0
        _write_number(self._map, 0, 0)

    def close(self) -> None:
        """Unmap it; the file stays."""
        self._map.close()


def path_of(directory: Path, worker: int) -> Path:
    """Where a worker's wills are."""
    return directory / f"{worker}.wills"


def read(directory: Path, worker: int) -> list[Entry]:
    """The wills of a worker that is gone; none, where it left no file or one that cannot be read."""
    try:
        book = path_of(directory, worker).read_bytes()
    except OSError:
        return []
    return list(_entries(book))


def _entries(book: bytes) -> Iterator[Entry]:
    at = 0
    while len(book) - at >= _RECORD_AT:
        size, token, tokens, state = _HEAD.unpack_from(book, at)
        record_ends = at + size - NUMBER.size
        if record_ends < at + _RECORD_AT or record_ends + NUMBER.size > len(book):
            return
        (tranche,) = NUMBER.unpack_from(book, record_ends)
        if not tranche:
            return
        record = book[at + _RECORD_AT : record_ends]
        yield Entry(tranche, token, tokens, min(state, 1), state == RUNNING, record)
        at += size


def remove(directory: Path, worker: int) -> None:
    """Remove the file of a worker that has nothing left."""
    path_of(directory, worker).unlink(missing_ok=True)
