"""What is booked of the requests in a worker's tranches if it dies? A file that it maps, which outlives its kill.

Nothing in the tree tells of them until their tranche is written down: docs/decisions/0071.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

BOOK_BYTES = 32 * 1024
"""Some hundred requests with their records; more between two ticks cost a transaction for each book full."""

END = struct.Struct("=Q")
ENTRY = struct.Struct("=4Q")
"""Bytes of the record that follows, number of the tranche, token, tokens."""

_write_end = END.pack_into
_entry = ENTRY.pack


class Entry(NamedTuple):
    """One request, the tranche that it is of, and what is booked for it."""

    tranche: int
    token: int
    tokens: int
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

    def add(self, tranche: int, token: int, tokens: int, record: bytes) -> bool:
        """Write one down; False: there is no room. It is there once the end is behind it, whenever a kill comes."""
        entry = _entry(len(record), tranche, token, tokens) + record
        start = self._end
        end = start + len(entry)
        if end > BOOK_BYTES:
            return False
        self._map[start:end] = entry
        _write_end(self._map, 0, end)
        self._end = end
        return True

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
        size, tranche, token, tokens = ENTRY.unpack_from(book, at)
        at += ENTRY.size
        entries.append(Entry(tranche, token, tokens, book[at : at + size]))
        at += size
    return entries


def remove(directory: Path, worker: int) -> None:
    """Remove the file of a worker that has nothing left."""
    path_of(directory, worker).unlink(missing_ok=True)
