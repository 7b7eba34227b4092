"""How is the shared state spelled in bytes? Keys that sort as they are searched for, and fixed-size values.

One tree holds everything, told apart by the first byte:

    b name                      bucket: full_at, seconds of CLOCK_MONOTONIC
    l name                      line: slots taken, requests waiting, limit, number of the next ticket
    h worker token              claim: number of its ticket (0: it holds a slot), name
    q length name ticket        ticket: worker, token; the lowest number is the head
    t turn name                 turn: how many were given out
    w worker                    a worker that has joined
    n                           number of the newest worker
"""

import hashlib
import struct
from typing import NamedTuple

LAYOUT = "1"
"""Changes with any change of this module: a directory of another layout is discarded."""

MAX_NAME_BYTES = 64
"""Longer names are cut and hashed, so that a record's size is bounded; addresses are 40 bytes at the most."""

BUCKET, LINE, CLAIM, TICKET, TURN, WORKER, NEWEST_WORKER = b"b", b"l", b"h", b"q", b"t", b"w", b"n"
AFTER_BUCKETS = b"c"

HOLDING = 0
"""In a claim, instead of a ticket's number: it has its slot."""

FULL_AT = struct.Struct("=d")
LINE_RECORD = struct.Struct("=IIIQ")
NUMBER = struct.Struct(">Q")
PAIR = struct.Struct(">QQ")


class Claimant(NamedTuple):
    """Who holds or waits: a worker's number, and a token that is unique in it."""

    worker: int
    token: int


def record_name(key: str) -> bytes:
    """The name under which `key` is kept, 64 bytes at the most; different keys have different names."""
    name = key.encode() if key.isascii() else key.encode("utf-8", "surrogatepass")
    if len(name) <= MAX_NAME_BYTES:
        return name
    digest = hashlib.blake2b(name, digest_size=16).hexdigest().encode()
    return name[: MAX_NAME_BYTES - len(digest)] + digest


def claim_key(who: Claimant) -> bytes:
    """The key of a claim; those of one worker stand together, so that a dead one's are a range."""
    return CLAIM + PAIR.pack(*who)


def pack_claim(number: int, name: bytes) -> bytes:
    """A claim on `name` with the ticket's number, or `HOLDING`."""
    return NUMBER.pack(number) + name


def unpack_claim(value: bytes) -> tuple[int, bytes]:
    """The ticket's number (or `HOLDING`) and the name of a claim."""
    return NUMBER.unpack_from(value)[0], value[NUMBER.size :]


def ticket_prefix(name: bytes) -> bytes:
    """What all tickets of `name` begin with; the length keeps a name from being another's beginning."""
    return TICKET + bytes((len(name),)) + name
