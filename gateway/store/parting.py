"""How does a worker come, and what becomes of what it had when it is gone? Step by step, so that no loop is held up."""

import itertools
from collections.abc import Callable, Sequence

from gateway.store.booking import book
from gateway.store.holdings import book_tranche
from gateway.store.records import (
    AFTER_LINES,
    AFTER_WORKERS,
    LINE,
    NEWEST_WORKER,
    NUMBER,
    PAIR,
    RESERVATION,
    TICKET,
    TRANCHE,
    WORKER,
    Claimant,
)
from gateway.store.seat_records import AFTER_SEATS, GIVEN, PLACE, SEATS, parse_place, unpack_given
from gateway.store.seating import forget_given, give_up, strike_seats
from gateway.store.slots import call_heads, settle
from gateway.store.tally import read_line, strike, write_line
from gateway.store.tree import Tree, records_between
from gateway.store.wills import Entry

FIRST_PLACE = PLACE
"""Where `part` begins."""

NEXT_KEY = b"\0"
"""Added to a key, it gives the least key beyond."""


def join(tree: Tree) -> int:
    """The number of a new worker: no other in this state's life has it."""
    value = tree.get(NEWEST_WORKER)
    worker: int = NUMBER.unpack(value)[0] + 1 if value else 1
    tree.put(NEWEST_WORKER, NUMBER.pack(worker))
    tree.put(WORKER + NUMBER.pack(worker), b"")
    return worker


def workers(tree: Tree) -> list[int]:
    """All workers that have joined and not parted."""
    return [NUMBER.unpack_from(key, len(WORKER))[0] for key, _ in records_between(tree, WORKER, AFTER_WORKERS)]


def part(
    tree: Tree, worker: int, place: bytes, most: int, wills: Sequence[Entry] = ()
) -> tuple[bytes | None, list[Claimant]]:
    """One step of giving up what a gone worker has: where to go on (None: done), and whoever may start now.

    It looks at `most` records: first at tranches, of which `wills` tell what was drawn, and at all tickets, because one
    that is called becomes a slot, then at the lines; so with seats, too. The worker's own record goes last, so that
    another can begin anew where this one is killed.
    """
    called: list[Claimant] = []
    seats = records_between(tree, place, AFTER_SEATS)
    lines = records_between(tree, max(place, TRANCHE), AFTER_LINES)
    records = list(itertools.islice(itertools.chain(seats, lines), most))
    for key, value in records:
        if key[:1] == TRANCHE:
            strike_tranche(tree, key, value, worker, wills)
        else:
            called += STRIKES[key[:1]](tree, key, value, worker)
        if len(called) >= most:
            return key + NEXT_KEY, called
    if len(records) == most:
        return records[-1][0] + NEXT_KEY, called
    tree.delete(WORKER + NUMBER.pack(worker))
    return None, called


def strike_place(tree: Tree, key: bytes, _value: bytes, worker: int) -> list[Claimant]:
    """Give up a gone worker's place in a queue for seats."""
    if parse_place(key)[-1].worker == worker:
        give_up(tree, key)
    return []


def strike_given(tree: Tree, key: bytes, value: bytes, worker: int) -> list[Claimant]:
    """Forget that a seat was given to a gone worker; it is counted in its line."""
    if PAIR.unpack_from(key, len(GIVEN))[0] == worker:
        tree.delete(key)
        forget_given(tree, unpack_given(value).group)
    return []


def strike_ticket(tree: Tree, key: bytes, value: bytes, worker: int) -> list[Claimant]:
    """Give up a gone worker's place in a queue for slots."""
    if PAIR.unpack(value)[0] == worker:
        settle(tree, key)
    return []


def strike_reservation(tree: Tree, key: bytes, value: bytes, worker: int) -> list[Claimant]:
    """Book what a gone worker's request is charged, and refund the rest."""
    if PAIR.unpack_from(key, len(RESERVATION))[0] == worker:
        book(tree, key, value)
    return []


def strike_tranche(tree: Tree, key: bytes, value: bytes, worker: int, wills: Sequence[Entry]) -> None:
    """Book what a gone worker ran of its tranche, and give back the rest."""
    if PAIR.unpack(key[-PAIR.size :])[0] == worker:
        book_tranche(tree, key, value, wills)


def strike_line(tree: Tree, key: bytes, _value: bytes, worker: int) -> list[Claimant]:
    """Give up a gone worker's slots in a line: whoever may start now."""
    line = read_line(tree, key)
    if not strike(line, worker):
        return []
    called = call_heads(tree, key[len(LINE) :], line)
    write_line(tree, key, line)
    return list(called)


STRIKES: dict[bytes, Callable[[Tree, bytes, bytes, int], list[Claimant]]] = {
    PLACE: strike_place,
    GIVEN: strike_given,
    SEATS: lambda tree, key, _value, worker: strike_seats(tree, key, worker),
    TICKET: strike_ticket,
    RESERVATION: strike_reservation,
    LINE: strike_line,
}
"""What is done with a record that may be a gone worker's."""
