"""Where does the shared state live, and is what lies there still true? One directory, checked by whoever comes."""

import contextlib
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import lmdb

from gateway.core.boot import boot_id
from gateway.store import booking, wills
from gateway.store.doorbell import anybody_alive
from gateway.store.errors import StoreUnavailableError
from gateway.store.records import LAYOUT
from gateway.store.salvage import Record, SpoiltError, salvage
from gateway.store.tree import Tree

log = logging.getLogger(__name__)

RECORDS_BESIDE_BUCKETS = 80_000
"""Room for what runs or waits, over all organizations: two or three records for each request, and its reservation."""

BYTES_PER_RECORD = 300
"""The longest record of a slot (98 bytes with its node) in pages that are a third full; those who wait for seats, whose
records may be longer, are few."""

PAGES_PER_RECORD_BYTE = 2
"""Records are written in the order of their keys, in several places: LMDB leaves pages half full."""

PAGES_BYTES = 64 * 1024
DIRECTORY_MODE = 0o700


class Room(NamedTuple):
    """How large the file is, and how many bytes of it the journal may take."""

    size: int
    journal: int


def map_bytes(max_tracked: int, journal: int) -> int:
    """The size of the file for that many buckets and accounts and such a journal, in whole pages of any size."""
    size = (2 * max_tracked + RECORDS_BESIDE_BUCKETS) * BYTES_PER_RECORD + journal * PAGES_PER_RECORD_BYTE
    return -(-size // PAGES_BYTES) * PAGES_BYTES


@contextlib.contextmanager
def entered(directory: Path) -> Iterator[bool]:
    """The directory, made if need be, with no other worker coming or going: whether nobody lives in it.

    Raises StoreUnavailableError when it cannot be used.
    """
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise StoreUnavailableError(f"LIMITER_PATH {directory} must be a directory of this user's own, mode 0700")
        lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailableError(f"LIMITER_PATH {directory} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not anybody_alive(directory)
    finally:
        os.close(lock)


def open_environment(directory: Path, room: Room, *, alone: bool) -> lmdb.Environment:
    """The LMDB environment in an `entered` directory.

    Where nobody lives it is a new one, with what can be kept of the old; a file that somebody has mapped is never
    touched but by its own transactions. Raises StoreUnavailableError when it belongs to another kind of gateway.

    Nothing is synced to a disk: the state need not outlive the host, and what a killed process had written stays in
    the page cache. The whole file is allocated now, because a write to a map without memory behind it is a SIGBUS.
    """
    size = room.size
    expected = f"layout {LAYOUT}, {size} bytes, boot {boot_id()}\n".encode()
    marker = directory / "layout"
    found = marker.read_bytes() if marker.is_file() else b""
    if not alone:
        if found != expected:
            raise StoreUnavailableError(f"LIMITER_PATH {directory} is in use by a gateway with another layout or size")
        return opened(directory, size)
    kept = kept_records(directory) if found == expected else []
    wipe(directory)
    environment = opened(directory, size)
    with environment.begin(write=True) as tree:
        for key, value in kept:
            tree.put(key, value, append=True)
        booking.begin(cast("Tree", tree), room.journal, partial(wills.read, directory))
    for path in directory.glob("*.wills"):
        path.unlink()
    marker.write_bytes(expected)  # last: what is left by a start that is broken off here is not kept
    return environment


def kept_records(directory: Path) -> list[Record]:
    """What an earlier gateway left that still counts.

    Nothing, and a line in the log, if it cannot be read: the limits then start with every bucket full.
    """
    try:
        return salvage(directory)
    except SpoiltError as error:
        log.warning("limits_started_afresh", extra={"limiter_path": str(directory), "why": str(error)})
        return []


def opened(directory: Path, size: int) -> lmdb.Environment:
    """Open, and back the map with memory."""
    environment = lmdb.open(
        str(directory), map_size=size, sync=False, metasync=False, writemap=True, max_dbs=0, mode=0o600
    )
    data = os.open(directory / "data.mdb", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(data, 0, size)
    except OSError as error:
        environment.close()
        raise StoreUnavailableError(
            f"LIMITER_PATH {directory} has no room for {size // 2**20} MiB: {error.strerror}"
        ) from error
    finally:
        os.close(data)
    return environment


def wipe(directory: Path) -> None:
    """Remove what an earlier gateway left: state, sockets, marker. The lock stays: somebody may wait for it."""
    for path in (*directory.glob("*.mdb"), *directory.glob("*.sock"), directory / "layout"):
        path.unlink(missing_ok=True)
