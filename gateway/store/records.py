"""How is the shared state spelled in bytes? Keys that sort as they are searched for, and fixed-size values.

One tree holds everything, told apart by the first byte:

    b name                      bucket: full_at, seconds of CLOCK_MONOTONIC; of each worker that holds tokens of it its
                                number, seconds in which so many flow in, and until when: see `lending.py`
    q length name number        ticket: worker, token; the lowest number is the head
    s name                      line: slots taken, requests waiting, limit, next ticket; each worker and its slots
    t turn name                 turn: how many were given out
    w worker                    a worker that has joined; what is on the sheet that it wrote last: see `holdings.py`
    n                           number of the newest worker
    a name                      account: see `account.py`
    p length name worker number tranche of the organization of that name: see `holdings.py`
    r worker token              reservation of a running request: see `booking.py`
    j worker token              journal: a sheet of usage records that nobody took away, under the first one's token
    k                           books: accounts, and how full the journal is: see COUNTS
    e                           epoch: the name of this state's life
    G, O, P, Q, R, S            seats: see `seat_records.py`
"""

import functools
import hashlib
import struct
from typing import NamedTuple

LAYOUT = "9"
"""Changes with any change of this module or of `seat_records.py`: a directory of another layout is discarded."""

MAX_NAME_BYTES = 64
"""Longer names are cut and hashed, so that a record's size is bounded; addresses are 40 bytes at the most."""

REMEMBERED_NAMES = 4096
"""A request asks for its organization's name three times, and nearly always it was asked for a moment ago."""

BUCKET, TICKET, LINE, TURN, WORKER, NEWEST_WORKER = b"b", b"q", b"s", b"t", b"w", b"n"
ACCOUNT, RESERVATION, JOURNAL, BOOKS, EPOCH = b"a", b"r", b"j", b"k", b"e"
AFTER_BUCKETS, AFTER_ACCOUNTS, AFTER_JOURNAL = b"c", b"b", b"k"
TRANCHE, AFTER_TRANCHES = b"p", b"q"
AFTER_TICKETS, AFTER_RESERVATIONS = b"r", b"s"
AFTER_LINES, AFTER_WORKERS = b"t", b"x"
"""Tranches, tickets, reservations and lines stand in this order, and whoever gives up what a dead worker had walks over
all: it has seen the last ticket before the first slot, and books tranches before reservations."""

FULL_AT = struct.Struct("=d")
LOAN = struct.Struct("=Qdd")
"""What one worker holds of a bucket; any number of them stand behind `full_at`."""
NUMBER = struct.Struct(">Q")
PAIR = struct.Struct(">QQ")
COUNTS = struct.Struct("6Q")
"""Accounts; sheets of the journal, their records and bytes, how many bytes there may be; records that were lost."""


class Claimant(NamedTuple):
    """Who holds or waits: a worker's number, and a token that is unique in it."""

    worker: int
    token: int


@functools.lru_cache(maxsize=REMEMBERED_NAMES)
def record_name(key: str) -> bytes:
    """The name under which `key` is kept, 64 bytes at the most; different keys have different names."""
    name = key.encode() if key.isascii() else key.encode("utf-8", "surrogatepass")
    if len(name) <= MAX_NAME_BYTES:
        return name
    digest = hashlib.blake2b(name, digest_size=16).hexdigest().encode()
    return name[: MAX_NAME_BYTES - len(digest)] + digest


def ticket_prefix(name: bytes) -> bytes:
    """What all tickets of `name` begin with; the length keeps a name from being another's beginning."""
    return TICKET + bytes((len(name),)) + name


def ticket_key(name: bytes, number: int) -> bytes:
    """The key of one ticket; those of a name stand in the order of their numbers."""
    return ticket_prefix(name) + NUMBER.pack(number)


def tranche_prefix(name: bytes) -> bytes:
    """What the keys of all tranches of an organization begin with; a worker's number and its own follow."""
    return TRANCHE + bytes((len(name),)) + name


def name_of_ticket(key: bytes) -> bytes:
    """The name whose ticket this is."""
    return key[len(TICKET) + 1 : -NUMBER.size]


LINE_HEAD = struct.Struct("=II")
"""What a line begins with: slots taken, requests waiting."""


class _LineShapes(dict[int, struct.Struct]):
    def __missing__(self, length: int) -> struct.Struct:
        shape = self[length] = struct.Struct(f"=IIIQ{(length - 20) // 4}I")
        return shape


LINE_SHAPES = _LineShapes()
"""The shape of a line by its length in bytes; there are as many as workers can be in one line."""


def unpack_line(value: bytes) -> list[int]:
    """The numbers of a line: each of 4 bytes, but the next ticket's of 8."""
    return list(LINE_SHAPES[len(value)].unpack(value))


def pack_line(line: list[int]) -> bytes:
    """The record of a line."""
    return LINE_SHAPES[4 * len(line) + 4].pack(*line)
