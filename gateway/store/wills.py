"""What is booked of the requests in a worker's tranches if it dies? A file that it maps, which outlives its kill.

Nothing in the tree tells of them until their tranche is written down: docs/decisions/0071.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

BOOK_BYTES = 256 * 1024
"""Some thousand requests with their records; more between two ticks cost a transaction for each book full."""

END = struct.Struct("=Q")
ENTRY = struct.Struct("=4QBB")
"""Bytes of the record that follows, number of the tranche, token, tokens, requests, and whether it is still running."""
COST = struct.Struct("=QBB")
"""The last three of them."""

_write_end = END.pack_into
_entry = ENTRY.pack
_write_cost = COST.pack_into
_COST_AT = ENTRY.size - COST.size


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
        self._end = 0
        self.clear()

    def add(self, tranche: int, token: int, tokens: int, record: bytes) -> int:
        """Write one down, at its place; 0: there is no room.

        It is there once the end is behind it, whenever a kill comes.
        """
        entry = _entry(len(record), tranche, token, tokens, 1, 1) + record
        start = self._end
        end = start + len(entry)
        if end > BOOK_BYTES:
            return 0
        self._map[start:end] = entry
        _write_end(self._map, 0, end)
        self._end = end
        return start

    def settle(self, place: int, requests: int, tokens: int) -> None:
        """Its request has ended, and its record is where it belongs: only what it cost is still to be counted."""
        _write_cost(self._map, place + _COST_AT, tokens, requests, 0)

    def clear(self) -> None:
        """Forget all."""
        self._end = END.size
        _write_end(self._map, 0, END.size)

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
    entries = []
    if len(book) < END.size:
        return []
    at, (end,) = END.size, END.unpack_from(book)
    while at + ENTRY.size <= min(end, len(book)):
        size, tranche, token, tokens, requests, running = ENTRY.unpack_from(book, at)
        at += ENTRY.size
        entries.append(Entry(tranche, token, tokens, requests, bool(running), book[at : at + size]))
        at += size
    return entries


def remove(directory: Path, worker: int) -> None:
    """Remove the file of a worker that has nothing left."""
    path_of(directory, worker).unlink(missing_ok=True)
