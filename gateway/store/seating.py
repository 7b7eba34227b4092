"""Which organization's request gets the next free seat? Each function here is the whole of one LMDB transaction.

What `group_seats.py` does in one worker's memory, for all workers. After every decision there is no free seat that
anybody who waits could use; so a newcomer that finds one overtakes nobody.

Three requests of the organizations a, a and b, each named by its worker and its token, for the one seat at a group's
one backend, and what stands in the tree after every call (see `seat_records.py`):

    call             taken, wanted  of workers  rota      places                    given    backlog
    enter a (1, 11)  1, 0           1: 1        -         -                         -        -
    enter a (1, 12)  1, 1           1: 1        0 a       a 1 (1, 12)               -        1, 1, 0, 2
    enter b (2, 21)  1, 2           1: 1        0 a, 2 b  a 1 (1, 12), b 3 (2, 21)  -        2, 1, 0, 4
    leave (1, 11)    1, 1           1: 1        2 b       b 3 (2, 21)               (1, 12)  1, 1, 1, 4
    look (1, 12)     1, 1           1: 1        2 b       b 3 (2, 21)               -        1, 1, 0, 4
    leave (1, 12)    1, 0           1: 0, 2: 1  -         -                         (2, 21)  0, 1, 1, 4
    look (2, 21)     1, 0           1: 0, 2: 1  -         -                         -        -
    leave (2, 21)    -, -           -           -         -                         -        -

Positions in the rota and places have their numbers from one sequence, the last figure of the backlog. A seat that is
left is its next owner's in the same transaction; what was given stands there until that owner has looked, so that one
who was killed meanwhile, or declines, is known to have had it.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.store.protocol import GroupCounts
from gateway.store.records import NUMBER, Claimant
from gateway.store.rota import NOWHERE, choose, is_due, whose_turn
from gateway.store.seat_records import (
    AFTER_SEATS,
    BACKLOG,
    BACKLOG_SHAPE,
    ROTA,
    SEATS,
    Given,
    given_key,
    lengthed,
    pack_given,
    pack_names,
    parse_place,
    parse_seats,
    place_key,
    places_prefix,
    position_key,
    seats_key,
    unpack_given,
    unpack_names,
)
from gateway.store.tally import IN_FLIGHT, LineRecord, add_slot, read_line, remove_slot, strike, write_line
from gateway.store.tally import QUEUED as WANTED
from gateway.store.tree import Tree, records_between, records_under

Backlog = list[int]
"""Requests that wait for a seat, the newest limit, seats that were given and not looked at, and the next number: of a
place, or of a position in the rota. It is kept while anybody waits or has still to look, so that no number comes twice.
"""

QUEUED, LIMIT, GIVEN_AWAY, NEXT = range(4)

Called = list[Claimant]
"""Those whose places became seats."""


class Asked(NamedTuple):
    """Who asks for a seat, and at which backends."""

    group: bytes
    organization: bytes
    who: Claimant
    candidates: tuple[bytes, ...]


class Entry(NamedTuple):
    """A newcomer's seat at that `backend`, or its place; neither, if it was refused.

    Those `called` got a seat because the limit was raised.
    """

    backend: bytes
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
        called = call(tree, group, backlog) if is_kept(backlog) else called
    lines = [read_line(tree, seats_key(group, backend)) for backend in candidates]
    choice = choose([pair(line) for line in lines], limit)
    if choice != NOWHERE:
        add_slot(lines[choice], who.worker)
        write_line(tree, seats_key(group, candidates[choice]), lines[choice])
        return Entry(candidates[choice], b"", called)
    if backlog[QUEUED] >= max_queued:
        return Entry(b"", b"", called)
    want(tree, group, candidates, 1)
    return Entry(b"", wait(tree, asked, backlog), called)


def wait(tree: Tree, asked: Asked, backlog: Backlog) -> bytes:
    """The place of who waits from now on: behind its organization's others; behind everybody, if there are none."""
    group, organization, who, candidates = asked
    if tree.get(position_key(group, organization)) is None:
        stand_last(tree, group, organization, backlog)
    place = place_key(group, organization, backlog[NEXT], who)
    tree.put(place, pack_names(candidates))
    backlog[NEXT] += 1
    backlog[QUEUED] += 1
    write_backlog(tree, group, backlog)
    return place


def look(tree: Tree, place: bytes, candidates: tuple[bytes, ...]) -> tuple[bytes, Called]:
    """The backend at which who had this place has a seat, one of those that it can use now; empty: it waits on for one.

    Who changes its candidates, or declines a seat, stands where it stood, and so does its organization. Also whose the
    seats are that this made free.
    """
    group, organization, _ = parse_place(place)
    value = tree.get(given_key(place))
    if value is not None:
        given = unpack_given(value)
        if given.backend in candidates:
            return accept(tree, place), []
        backlog = decline(tree, place, given)
        stood = stand_no_more(tree, group, organization)
        stand(tree, group, organization, given.position if stood == NOWHERE else min(stood, given.position))
    else:
        before = tree.get(place)
        if before is None or before == pack_names(candidates):
            return b"", []
        want(tree, group, unpack_names(before), -1)
        backlog = read_backlog(tree, group)
    tree.put(place, pack_names(candidates))
    want(tree, group, candidates, 1)
    called = call(tree, group, backlog)
    return accept(tree, place), called


def decline(tree: Tree, place: bytes, given: Given) -> Backlog:
    """Make a seat free whose owner waits on; the caller puts the place back, calls, and writes the backlog."""
    key = seats_key(given.group, given.backend)
    line = read_line(tree, key)
    if remove_slot(line, parse_place(place)[-1].worker):
        write_line(tree, key, line)
    backlog = read_backlog(tree, given.group)
    backlog[GIVEN_AWAY] -= 1
    backlog[QUEUED] += 1
    tree.delete(given_key(place))
    return backlog


def accept(tree: Tree, place: bytes) -> bytes:
    """The backend at which who had this place was given a seat, which it now knows of; empty: it was given none."""
    key = given_key(place)
    value = tree.get(key)
    if value is None:
        return b""
    tree.delete(key)
    given = unpack_given(value)
    forget_given(tree, given.group)
    return given.backend


def forget_given(tree: Tree, group: bytes) -> None:
    """One seat less of which its owner does not know."""
    backlog = read_backlog(tree, group)
    backlog[GIVEN_AWAY] -= 1
    write_backlog(tree, group, backlog)


def withdraw(tree: Tree, place: bytes) -> Called:
    """Give up what a place has become, a place or a seat: whose the seat is now."""
    backend = accept(tree, place)
    if not backend:
        give_up(tree, place)
        return []
    group, _, who = parse_place(place)
    return leave(tree, group, backend, who.worker)


def leave(tree: Tree, group: bytes, backend: bytes, worker: int) -> Called:
    """Give up one seat of a worker, if it has any there: whose it is now."""
    key = seats_key(group, backend)
    line = read_line(tree, key)
    if not remove_slot(line, worker):
        return []
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
    want(tree, group, unpack_names(candidates), -1)
    if not waits(tree, group, organization):
        stand_no_more(tree, group, organization)
    backlog = read_backlog(tree, group)
    backlog[QUEUED] -= 1
    write_backlog(tree, group, backlog)


def want(tree: Tree, group: bytes, candidates: Iterable[bytes], more: int) -> None:
    """So many more wait who could use a seat there."""
    for backend in candidates:
        key = seats_key(group, backend)
        line = read_line(tree, key)
        line[WANTED] += more
        write_line(tree, key, line)


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
    backend = found.candidates[found.choice]
    tree.delete(found.place)
    position = stand_no_more(tree, group, organization)
    tree.put(given_key(found.place), pack_given(Given(position, group, backend)))
    for wanted in found.candidates:
        lines[seats_key(group, wanted)][WANTED] -= 1
    add_slot(lines[seats_key(group, backend)], who.worker)
    backlog[QUEUED] -= 1
    backlog[GIVEN_AWAY] += 1
    if waits(tree, group, organization):
        stand_last(tree, group, organization, backlog)
    return who


def pair(line: LineRecord) -> tuple[int, int]:
    """A line as the discipline sees it."""
    return line[IN_FLIGHT], line[WANTED]


def stand_last(tree: Tree, group: bytes, organization: bytes, backlog: Backlog) -> None:
    """Put an organization at the end of the rota; the caller writes the backlog."""
    stand(tree, group, organization, backlog[NEXT])
    backlog[NEXT] += 1


def stand(tree: Tree, group: bytes, organization: bytes, position: int) -> None:
    """Put an organization that stands nowhere there."""
    number = NUMBER.pack(position)
    tree.put(ROTA + lengthed(group) + number, organization)
    tree.put(position_key(group, organization), number)


def stand_no_more(tree: Tree, group: bytes, organization: bytes) -> int:
    """Take an organization out of the rota: where it stood, or `NOWHERE`."""
    key = position_key(group, organization)
    number = tree.get(key)
    if number is None:
        return NOWHERE
    tree.delete(key)
    tree.delete(ROTA + lengthed(group) + number)
    position: int = NUMBER.unpack(number)[0]
    return position


def waits(tree: Tree, group: bytes, organization: bytes) -> bool:
    """Has the organization any place?"""
    return any(True for _ in records_under(tree, places_prefix(group, organization)))


def read_backlog(tree: Tree, group: bytes) -> Backlog:
    """The backlog of a group; one that nobody needs is kept nowhere."""
    value = tree.get(BACKLOG + group)
    return list(BACKLOG_SHAPE.unpack(value)) if value else [0, 0, 0, 0]


def is_kept(backlog: Backlog) -> bool:
    """Does anybody wait, or has anybody still to look?"""
    return bool(backlog[QUEUED] or backlog[GIVEN_AWAY])


def write_backlog(tree: Tree, group: bytes, backlog: Backlog) -> None:
    """Keep the backlog of a group, or forget it when nobody waits and everybody has looked."""
    if is_kept(backlog):
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
