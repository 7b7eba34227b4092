"""How is it written down? The records of kept answers and of requests in flight, in one sorted map of bytes.

All of one host's workers read and write them; a change of any form is a new `LAYOUT`, and another directory.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.store.tree import Tree, records_under

LAYOUT: Final = 1

KEY_BYTES: Final = 32

ENTRY: Final = b"E"
"""Before a key: an answer's `Entry`, apart from its bytes, so that a hit may mark it without writing it anew."""
ANSWER: Final = b"A"
"""Before a key: the content-type, a line feed, the body."""
ORDER: Final = b"O"
"""Before a sequence number: the key of the answer that was kept then. The first one goes first."""
FLIGHT: Final = b"F"
"""Before a key: the `Flight` of the request that runs."""
WAITER: Final = b"W"
"""Before a key and a number: the `Claimant` who waits, and behind it, in a moment, what it is told."""
TOTALS: Final = b"T"
NEWEST: Final = b"N"
"""The newest worker's number. Numbers stand in the names of sockets, whose paths may not be long."""
WORKER: Final = b"P"
"""Before a worker's number: it has joined and not left."""

NUMBER: Final = struct.Struct(">Q")
CLAIMANT: Final = struct.Struct("=QQ")
_ENTRY: Final = struct.Struct("=dQI?")
_FLIGHT: Final = struct.Struct("=QQBB")
_TOTALS: Final = struct.Struct("=QQQ")


class Claimant(NamedTuple):
    """One request: its worker, and its number there."""

    worker: int
    token: int


class Entry(NamedTuple):
    """A kept answer.

    Attributes:
        expires: when it is no longer given, in seconds of the monotonic clock.
        number: its place in the order.
        size: the bytes that it is counted with.
        used: it was given since it was kept, or since it was last spared.
    """

    expires: float
    number: int
    size: int
    used: bool


class Flight(NamedTuple):
    """A request that runs for all that are like it.

    Attributes:
        worker: the leader's.
        token: the leader's number there.
        failures: leaders that it had before, and that failed.
        deserted: the leader's client has gone, and it runs for those who wait.
    """

    worker: int
    token: int
    failures: int = 0
    deserted: int = 0


class Totals(NamedTuple):
    """What is kept in all, and the newest number that was given to anything."""

    entries: int = 0
    size: int = 0
    newest: int = 0


def read_entry(tree: Tree, key: bytes) -> Entry | None:
    """The entry of a key."""
    value = tree.get(ENTRY + key)
    return None if value is None else Entry._make(_ENTRY.unpack(value))


def write_entry(tree: Tree, key: bytes, entry: Entry) -> None:
    """Write the entry of a key."""
    tree.put(ENTRY + key, _ENTRY.pack(*entry))


def read_flight(tree: Tree, key: bytes) -> Flight | None:
    """The flight of a key."""
    value = tree.get(FLIGHT + key)
    return None if value is None else Flight._make(_FLIGHT.unpack(value))


def write_flight(tree: Tree, key: bytes, flight: Flight) -> None:
    """Write the flight of a key."""
    tree.put(FLIGHT + key, _FLIGHT.pack(*flight))


def flights(tree: Tree) -> Iterator[tuple[bytes, Flight]]:
    """All flights by their keys."""
    for key, value in records_under(tree, FLIGHT):
        yield key[len(FLIGHT) :], Flight._make(_FLIGHT.unpack(value))


def read_totals(tree: Tree) -> Totals:
    """What is kept in all."""
    value = tree.get(TOTALS)
    return Totals() if value is None else Totals._make(_TOTALS.unpack(value))


def write_totals(tree: Tree, totals: Totals) -> None:
    """Write what is kept in all."""
    tree.put(TOTALS, _TOTALS.pack(*totals))


def next_number(tree: Tree) -> int:
    """A number that nothing else has."""
    totals = read_totals(tree)
    write_totals(tree, totals._replace(newest=totals.newest + 1))
    return totals.newest + 1


def read_waiter(value: bytes) -> tuple[Claimant, bytes]:
    """A waiter's record: who it is, and what it is told, empty while it waits."""
    return Claimant._make(CLAIMANT.unpack_from(value)), value[CLAIMANT.size :]


def waiting(tree: Tree, key: bytes) -> list[tuple[bytes, Claimant]]:
    """Those who wait for a key's flight and were told nothing yet, the longest first, with their records' keys."""
    found = ((record, *read_waiter(value)) for record, value in records_under(tree, WAITER + key))
    return [(record, claimant) for record, claimant, told in found if not told]
