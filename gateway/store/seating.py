"""Which organization's request gets the next free seat? Each function here is the whole of one LMDB transaction.

What `group_seats.py` does in one worker's memory, for all workers. After every decision there is no free seat that
anybody who waits could use; so a newcomer that finds one overtakes nobody.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.store.protocol import GroupCounts
from gateway.store.records import NUMBER, PAIR, Claimant
from gateway.store.rota import NOWHERE, choose, is_due, whose_turn
from gateway.store.seat_records import (
    AFTER_SEATS,
    BACKLOG,
    BACKLOG_SHAPE,
    GIVEN,
    POSITION,
    ROTA,
    SEATS,
    lengthed,
    pack_names,
    parse_place,
    parse_seats,
    place_key,
    places_prefix,
    seats_key,
    unpack_names,
)
from gateway.store.tally import IN_FLIGHT, LineRecord, add_slot, place_of, read_line, strike, write_line
from gateway.store.tally import QUEUED as WANTED
from gateway.store.tree import Tree, records_between, records_under

Backlog = list[int]
"""Requests that wait for a seat, the newest limit, and the next number: of a place, or of a position in the rota."""

QUEUED, LIMIT, NEXT = range(3)

Called = list[Claimant]
"""Those whose places became seats."""


class Asked(NamedTuple):
    """Who asks for a seat, and at which backends."""

    group: bytes
    organization: bytes
    who: Claimant
    candidates: tuple[bytes, ...]


class Entry(NamedTuple):
    """A newcomer's seat at the candidate of that `choice`, or its place; neither, if it was refused.

    Those `called` got a seat because the limit was raised.
    """

    choice: int
    place: bytes
    called: Called


class Found(NamedTuple):
    """Whose turn it is: its place, and which candidate it gets a seat at."""

    place: bytes
    candidates: list[bytes]
    choice: int


def enter(tree: Tree, asked: Asked, limit: int, max_queued: int) -> Entry:
    """A seat for a newcomer, or a place behind its organization's others, or a refusal."""
    group, _, who, candidates = asked
    backlog = read_backlog(tree, group)
    called: Called = []
    if backlog[LIMIT] != limit:
        backlog[LIMIT] = limit
        called = call(tree, group, backlog) if backlog[QUEUED] else called
    lines = [read_line(tree, seats_key(group, backend)) for backend in candidates]
    choice = choose([pair(line) for line in lines], limit)
    if choice != NOWHERE:
        add_slot(lines[choice], who.worker)
        write_line(tree, seats_key(group, candidates[choice]), lines[choice])
        return Entry(choice, b"", called)
    if backlog[QUEUED] >= max_queued:
        return Entry(NOWHERE, b"", called)
    for backend, line in zip(candidates, lines, strict=True):
        line[WANTED] += 1
        write_line(tree, seats_key(group, backend), line)
    return Entry(NOWHERE, wait(tree, asked, backlog), called)


def wait(tree: Tree, asked: Asked, backlog: Backlog) -> bytes:
    """The place of who waits from now on: behind its organization's others; behind everybody, if there are none."""
    group, organization, who, candidates = asked
    if tree.get(POSITION + lengthed(group) + organization) is None:
        stand_last(tree, group, organization, backlog)
    place = place_key(group, organization, backlog[NEXT], who)
    tree.put(place, pack_names(candidates))
    backlog[NEXT] += 1
    backlog[QUEUED] += 1
    write_backlog(tree, group, backlog)
    return place


def settle(tree: Tree, place: bytes) -> int:
    """At which of its candidates does who had this place have a seat? `NOWHERE`: the place is then given up."""
    given = GIVEN + place[-PAIR.size :]
    value = tree.get(given)
    if value is None:
        give_up(tree, place)
        return NOWHERE
    tree.delete(given)
    choice: int = NUMBER.unpack(value)[0]
    return choice


def withdraw(tree: Tree, place: bytes, candidates: Sequence[bytes]) -> Called:
    """Give up what a place has become, a place or a seat: whose the seat is now."""
    choice = settle(tree, place)
    if choice == NOWHERE:
        return []
    group, _, who = parse_place(place)
    return leave(tree, group, candidates[choice], who.worker)


def leave(tree: Tree, group: bytes, backend: bytes, worker: int) -> Called:
    """Give up one seat of a worker, if it has any there: whose it is now."""
    key = seats_key(group, backend)
    line = read_line(tree, key)
    count = place_of(line, worker)
    if not count or not line[count]:
        return []
    line[count] -= 1
    line[IN_FLIGHT] -= 1
    write_line(tree, key, line)
    return call(tree, group, read_backlog(tree, group)) if line[WANTED] else []


def strike_seats(tree: Tree, key: bytes, worker: int) -> Called:
    """Give up all seats of a gone worker in a line: whose they are now."""
    line = read_line(tree, key)
    if not strike(line, worker):
        return []
    write_line(tree, key, line)
    group, _ = parse_seats(key)
    return call(tree, group, read_backlog(tree, group)) if line[WANTED] else []


def give_up(tree: Tree, place: bytes) -> None:
    """Wait no longer."""
    candidates = tree.get(place)
    if candidates is None:
        return
    tree.delete(place)
    group, organization, _ = parse_place(place)
    for backend in unpack_names(candidates):
        line = read_line(tree, seats_key(group, backend))
        line[WANTED] -= 1
        write_line(tree, seats_key(group, backend), line)
    if not waits(tree, group, organization):
        stand_no_more(tree, group, organization)
    backlog = read_backlog(tree, group)
    backlog[QUEUED] -= 1
    write_backlog(tree, group, backlog)


def call(tree: Tree, group: bytes, backlog: Backlog) -> Called:
    """Give the free seats to those who wait and can use them, in the order of the rota: whose they are now."""
    lines = {key: read_line(tree, key) for key, _ in list(records_under(tree, SEATS + lengthed(group)))}
    called: Called = []
    while is_due(map(pair, lines.values()), backlog[LIMIT]):
        found = find(tree, group, lines, backlog[LIMIT])
        if found is None:
            break
        called.append(give(tree, found, lines, backlog))
    for key, line in lines.items():
        write_line(tree, key, line)
    write_backlog(tree, group, backlog)
    return called


def find(tree: Tree, group: bytes, lines: dict[bytes, LineRecord], limit: int) -> Found | None:
    """Whose turn it is."""

    def seat_at(value: bytes) -> int:
        pairs = [pair(lines[seats_key(group, backend)]) for backend in unpack_names(value)]
        return choose(pairs, limit, for_who_waits=True)

    turn = whose_turn(waiting(tree, group), seat_at)
    if turn is None:
        return None
    (place, value), choice = turn
    return Found(place, unpack_names(value), choice)


def waiting(tree: Tree, group: bytes) -> Iterator[tuple[tuple[bytes, bytes], bytes]]:
    """The places of a group in the order of their turns, each with its candidates, and these once more."""
    for _, organization in records_under(tree, ROTA + lengthed(group)):
        for place, value in records_under(tree, places_prefix(group, organization)):
            yield (place, value), value


def give(tree: Tree, found: Found, lines: dict[bytes, LineRecord], backlog: Backlog) -> Claimant:
    """Turn a place into a seat; its organization then stands last, or no more: whose the seat is."""
    group, organization, who = parse_place(found.place)
    tree.delete(found.place)
    tree.put(GIVEN + PAIR.pack(*who), NUMBER.pack(found.choice))
    for backend in found.candidates:
        lines[seats_key(group, backend)][WANTED] -= 1
    add_slot(lines[seats_key(group, found.candidates[found.choice])], who.worker)
    backlog[QUEUED] -= 1
    stand_no_more(tree, group, organization)
    if waits(tree, group, organization):
        stand_last(tree, group, organization, backlog)
    return who


def pair(line: LineRecord) -> tuple[int, int]:
    """A line as the discipline sees it."""
    return line[IN_FLIGHT], line[WANTED]


def stand_last(tree: Tree, group: bytes, organization: bytes, backlog: Backlog) -> None:
    """Put an organization at the end of the rota; the caller writes the backlog."""
    number = NUMBER.pack(backlog[NEXT])
    backlog[NEXT] += 1
    tree.put(ROTA + lengthed(group) + number, organization)
    tree.put(POSITION + lengthed(group) + organization, number)


def stand_no_more(tree: Tree, group: bytes, organization: bytes) -> None:
    """Take an organization out of the rota."""
    key = POSITION + lengthed(group) + organization
    number = tree.get(key)
    if number is not None:
        tree.delete(key)
        tree.delete(ROTA + lengthed(group) + number)


def waits(tree: Tree, group: bytes, organization: bytes) -> bool:
    """Has the organization any place?"""
    return any(True for _ in records_under(tree, places_prefix(group, organization)))


def read_backlog(tree: Tree, group: bytes) -> Backlog:
    """The backlog of a group; one where nobody waits is kept nowhere."""
    value = tree.get(BACKLOG + group)
    return list(BACKLOG_SHAPE.unpack(value)) if value else [0, 0, 0]


def write_backlog(tree: Tree, group: bytes, backlog: Backlog) -> None:
    """Keep the backlog of a group, or forget it when nobody waits."""
    if backlog[QUEUED]:
        tree.put(BACKLOG + group, BACKLOG_SHAPE.pack(*backlog))
    else:
        tree.delete(BACKLOG + group)


def count_seats(tree: Tree) -> tuple[GroupCounts, ...]:
    """All groups of which seats are taken or waited for."""
    groups: dict[bytes, GroupCounts] = {}
    for key, _ in list(records_between(tree, SEATS, AFTER_SEATS)):
        group, backend = parse_seats(key)
        taken = read_line(tree, key)[IN_FLIGHT]
        counts = groups.get(group)
        if counts is None:
            queued = read_backlog(tree, group)[QUEUED]
            counts = groups[group] = GroupCounts(group.decode("utf-8", "replace"), queued, {})
        if taken:
            counts.taken[backend.decode("utf-8", "replace")] = taken
    return tuple(groups.values())
