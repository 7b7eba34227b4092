"""What of an earlier gateway's state can be kept? Read by a process of its own, as a spoilt file may kill its reader.

LMDB believes what it reads: a page of garbage sends it anywhere in memory, and a file that was cut short is a SIGBUS.
"""

import math
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import lmdb

from gateway.store import account
from gateway.store.records import (
    ACCOUNT,
    BOOKS,
    BUCKET,
    EPOCH,
    FULL_AT,
    JOURNAL,
    LINE,
    LOAN,
    NEWEST_WORKER,
    NUMBER,
    RESERVATION,
    TICKET,
    TRANCHE,
    TURN,
    WORKER,
)
from gateway.store.records import COUNTS as BOOKS_SHAPE
from gateway.store.seat_records import SEAT_KINDS

if TYPE_CHECKING:
    from gateway.store.tree import Tree

Record = tuple[bytes, bytes]

PATIENCE_SECS = 10.0
"""For a file of any size: 100,000 buckets take 0.3 s."""

SIZES = {
    TURN: NUMBER.size,
    NEWEST_WORKER: NUMBER.size,
    ACCOUNT: account.RECORD.size,
    BOOKS: BOOKS_SHAPE.size,
}
"""Bytes of the values that have always as many."""
KEPT = SIZES.keys() | {BUCKET, RESERVATION, TRANCHE, WORKER, JOURNAL, EPOCH}
"""What outlives all workers, or tells what they wrote last; slots, seats and places in queues end with them."""
KINDS = SEAT_KINDS | KEPT | {TICKET, LINE}

COUNTS = (TURN, NEWEST_WORKER)
HALF = 0x7F
"""The first byte of a count of eight is not above it for as long as there are gateways."""

FRAME = struct.Struct(">HI")
"""How records come from the process that reads them: the lengths of key and value before both."""


class SpoiltError(Exception):
    """The file is no database, or not one whose every record can be read."""


def salvage(directory: Path) -> list[Record]:
    """The records to begin with, in the order of their keys.

    Raises:
        SpoiltError: with the reason, for the log; nothing of the file is to be used.
    """
    command = [sys.executable, "-m", __name__, str(directory)]
    try:
        done = subprocess.run(  # noqa: S603 -- this interpreter, this module
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_SECS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SpoiltError(f"not read within {PATIENCE_SECS:g} s") from None
    if done.returncode < 0:
        raise SpoiltError(f"reading it ends in signal {-done.returncode}")
    if done.returncode:
        raise SpoiltError((done.stderr.decode(errors="replace").splitlines() or ["no reason given"])[-1])
    return list(unframed(done.stdout))


def unframed(data: bytes) -> Iterator[Record]:
    """The records that `main` wrote."""
    at = 0
    while at < len(data):
        key_size, value_size = FRAME.unpack_from(data, at)
        key_at = at + FRAME.size
        at = key_at + key_size + value_size
        yield data[key_at : key_at + key_size], data[key_at + key_size : at]


def sound_records(tree: "Tree") -> Iterator[Record]:
    """The records to keep; raises SpoiltError at the first that cannot have been written by a gateway."""
    before, count = b"", 0
    with tree.cursor() as cursor:
        cursor.set_range(b"\x00")
        for key, value in cursor.iternext():
            if key <= before:  # a page that is found again, from a page that leads back to it
                raise SpoiltError("keys out of order")
            before, count = key, count + 1
            kind = key[:1]
            if kind not in KINDS or len(value) != SIZES.get(kind, len(value)):
                raise SpoiltError("a record of no known form")
            if kind == BUCKET:
                check_bucket(value)
            if kind in COUNTS and value[0] > HALF:
                raise SpoiltError("a count that nobody has reached")
            if kind in KEPT:
                yield key, value
    if count != tree.stat()["entries"]:
        raise SpoiltError("records are missing")


def check_bucket(value: bytes) -> None:
    """Raises SpoiltError when this cannot be the record of a bucket."""
    full_at, loans = value[: FULL_AT.size], value[FULL_AT.size :]
    if len(full_at) != FULL_AT.size or len(loans) % LOAN.size:
        raise SpoiltError("a record of no known form")
    if math.isnan(FULL_AT.unpack(full_at)[0]):
        raise SpoiltError("a bucket that is filled at no time")
    if not all(secs >= 0 and math.isfinite(secs + until) for _, secs, until in LOAN.iter_unpack(loans)):
        raise SpoiltError("tokens of a bucket that are held for no time")


def main(directory: str) -> None:
    """Write the records of the database there to standard output; a failure ends with 1 and a reason."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        environment = lmdb.open(directory, readonly=True, lock=False, create=False, max_dbs=0)
        tree = cast("Tree", environment.begin())
        framed = [FRAME.pack(len(key), len(value)) + key + value for key, value in sound_records(tree)]
    except (lmdb.Error, SpoiltError) as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(b"".join(framed))


if __name__ == "__main__":
    main(sys.argv[1])
