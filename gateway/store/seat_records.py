"""How are seats spelled in bytes? Records of the same tree as those of `records.py`, under capital letters.

    G group                             backlog, while anybody waits: see `Backlog` in `seating.py`
    O group number                      rota: the organization that stands there; the lowest number is its head
    P group organization                position: its number in the rota
    Q group organization number who     place: the candidates of who waits; the lowest number is the oldest
    R who                               given: the seat that a place became, and where its organization stood, until its
                                        owner has looked
    S group backend                     seats: a line, with those who wait and could use one

`who` is worker and token; every name but the last of a key has its length before it. Places stand before what is given
and before seats: whoever walks over all has seen the last place before the first seat that it may have become.
"""

import functools
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.store.records import NUMBER, PAIR, Claimant

BACKLOG, ROTA, POSITION, PLACE, GIVEN, SEATS, AFTER_SEATS = b"G", b"O", b"P", b"Q", b"R", b"S", b"T"

SEAT_KINDS = frozenset((BACKLOG, ROTA, POSITION, PLACE, GIVEN, SEATS))

BACKLOG_SHAPE = struct.Struct("=IIIQ")


class Given(NamedTuple):
    """A seat at `backend` that nobody has looked at; its organization stood at `position` in the rota of `group`."""

    position: int
    group: bytes
    backend: bytes


@functools.cache
def lengthed(name: bytes) -> bytes:
    """A name with its length before it, which keeps it from being another's beginning; groups and backends are few."""
    return bytes((len(name),)) + name


def places_prefix(group: bytes, organization: bytes) -> bytes:
    """What the keys of an organization's places begin with."""
    return PLACE + lengthed(group) + bytes((len(organization),)) + organization


def place_key(group: bytes, organization: bytes, number: int, who: Claimant) -> bytes:
    """The key of one place; no other ever has it, because no other has its `who`."""
    return places_prefix(group, organization) + NUMBER.pack(number) + PAIR.pack(*who)


def parse_place(key: bytes) -> tuple[bytes, bytes, Claimant]:
    """Group, organization, and who waits there."""
    group_ends = 2 + key[1]
    return key[2:group_ends], key[group_ends + 1 : group_ends + 1 + key[group_ends]], Claimant(*PAIR.unpack(key[-16:]))


def position_key(group: bytes, organization: bytes) -> bytes:
    """The key of where an organization stands."""
    return POSITION + lengthed(group) + organization


def seats_key(group: bytes, backend: bytes) -> bytes:
    """The key of a backend's line."""
    return SEATS + lengthed(group) + backend


def parse_seats(key: bytes) -> tuple[bytes, bytes]:
    """Group and backend of a line."""
    group_ends = 2 + key[1]
    return key[2:group_ends], key[group_ends:]


def given_key(place: bytes) -> bytes:
    """The key of what a place has become."""
    return GIVEN + place[-PAIR.size :]


def pack_given(given: Given) -> bytes:
    """The record of a seat that was given."""
    return NUMBER.pack(given.position) + pack_names((given.group, given.backend))


def unpack_given(value: bytes) -> Given:
    """What `pack_given` packed."""
    return Given(NUMBER.unpack_from(value)[0], *unpack_names(value[NUMBER.size :]))


def pack_names(names: Sequence[bytes]) -> bytes:
    """Names as one value."""
    return b"".join(map(lengthed, names))


def unpack_names(value: bytes) -> list[bytes]:
    """The names that `pack_names` packed."""
    return list(_names(value))


def _names(value: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(value):
        ends = at + 1 + value[at]
        yield value[at + 1 : ends]
        at = ends
