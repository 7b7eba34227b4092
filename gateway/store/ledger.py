"""What does one decision change in the shared state? Each function here is the whole of one LMDB transaction."""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence

from gateway.store.line import has_room, heads_due, may_start
from gateway.store.records import (
    AFTER_LINES,
    AFTER_WORKERS,
    LINE,
    LINE_HEAD,
    LINE_SHAPES,
    NEWEST_WORKER,
    NUMBER,
    PAIR,
    TICKET,
    TURN,
    WORKER,
    Claimant,
    name_of_ticket,
    pack_line,
    ticket_key,
    ticket_prefix,
    unpack_line,
)
from gateway.store.tree import Tree

LineRecord = list[int]
"""Slots taken, requests waiting, limit, number of the next ticket; then each worker's number and its slots."""

IN_FLIGHT, QUEUED, LIMIT, NEXT, FIRST_WORKER = range(5)

STARTED_WITH_ROOM, REFUSED, STARTED, FIRST_TICKET = -2, -1, 0, 1

ANYBODY = 0
"""The token that stands for a worker itself, which is to hear that somebody waits; those of requests begin at 1."""

Called = Sequence[Claimant]
"""Whom a decision gives reason to look: those whose tickets became slots, and workers whose slots are waited for."""

NOBODY: Called = ()

FIRST_PLACE = TICKET
"""Where `part` begins."""

NEXT_KEY = b"\0"
"""Added to a key, it gives the least key beyond."""


def enter(tree: Tree, name: bytes, who: tuple[int, int], limit: int, max_queued: int) -> tuple[int, Called]:
    """`STARTED`, with or without room, `REFUSED` or the number of a ticket for `who`; also who is to look now.

    That is who may start because the limit was raised. Whoever is the first to wait calls the workers with slots, too:
    they may keep some that nobody uses.
    """
    key = LINE + name
    value = tree.get(key)
    if value is None:
        line = [0, 0, limit, FIRST_TICKET]
    else:
        line = list(LINE_SHAPES[len(value)].unpack(value))
        line[LIMIT] = limit
    called = NOBODY
    if line[QUEUED]:
        called = call_heads(tree, name, line)
    if may_start(line[IN_FLIGHT], line[QUEUED], limit):
        add_slot(line, who[0])
        entry = STARTED_WITH_ROOM if has_room(line[IN_FLIGHT], limit) else STARTED
    elif line[QUEUED] < max_queued:
        if not line[QUEUED]:
            called = [*called, *neighbours(line, who[0])]
        entry = line[NEXT]
        line[QUEUED] += 1
        line[NEXT] += 1
        tree.put(ticket_key(name, entry), PAIR.pack(*who))
    else:
        entry = REFUSED
    if entry != REFUSED or called:
        tree.put(key, pack_line(line))
    return entry, called


def may_take_over(tree: Tree, name: bytes, limit: int) -> bool:
    """May a newcomer have a slot that its own worker kept? With room, and nobody before it; nothing is changed."""
    value = tree.get(LINE + name)
    if value is None:
        return False
    in_flight, queued = LINE_HEAD.unpack_from(value)
    return not queued and has_room(in_flight, limit)


def leave(tree: Tree, name: bytes, worker: int, slots: int = 1) -> Called:
    """Give up slots of a worker, as many as it has: whoever may start now."""
    key = LINE + name
    value = tree.get(key)
    if value is None:
        return NOBODY
    shape = LINE_SHAPES[len(value)]
    line = list(shape.unpack(value))
    place = place_of(line, worker)
    if not place or not line[place]:
        return NOBODY
    slots = min(slots, line[place])
    line[place] -= slots
    line[IN_FLIGHT] -= slots
    if line[QUEUED]:
        called = call_heads(tree, name, line)
        write_line(tree, name, line)
        return called
    if line[IN_FLIGHT]:
        tree.put(key, shape.pack(*line))
    else:
        tree.delete(key)
    return NOBODY


def leave_all(tree: Tree, worker: int, spares: Mapping[bytes, int]) -> Called:
    """Give up slots of a worker, so many of each name: whoever may start now."""
    called: list[Claimant] = []
    for name, slots in spares.items():
        called += leave(tree, name, worker, slots)
    return called


def settle(tree: Tree, ticket: bytes) -> bool:
    """Has whoever drew this ticket a slot? Its ticket is then gone; if not, its place in the queue is given up."""
    if not tree.delete(ticket):
        return True
    name = name_of_ticket(ticket)
    line = read_line(tree, name)
    line[QUEUED] -= 1
    write_line(tree, name, line)
    return False


def withdraw(tree: Tree, ticket: bytes, worker: int) -> Called:
    """Give up what a ticket has become, a place or a slot of the worker: whoever may start now."""
    return leave(tree, name_of_ticket(ticket), worker) if settle(tree, ticket) else NOBODY


def call_heads(tree: Tree, name: bytes, line: LineRecord) -> Called:
    """Turn the first tickets of `name` into slots, as far as its limit allows; the caller writes the line."""
    due = heads_due(*line[:NEXT])
    if not due:
        return NOBODY
    called: list[Claimant] = []
    prefix = ticket_prefix(name)
    with tree.cursor() as cursor:
        for _ in range(due):
            cursor.set_range(prefix)
            who = Claimant(*PAIR.unpack(cursor.value()))
            cursor.delete()
            line[QUEUED] -= 1
            add_slot(line, who.worker)
            called.append(who)
    return called


def read_line(tree: Tree, name: bytes) -> LineRecord:
    """The line of `name`; that of a name which nobody uses is kept nowhere."""
    value = tree.get(LINE + name)
    return unpack_line(value) if value else [0, 0, 0, FIRST_TICKET]


def write_line(tree: Tree, name: bytes, line: LineRecord) -> None:
    """Keep the line of `name`, or forget it when nobody holds or waits."""
    if line[IN_FLIGHT] or line[QUEUED]:
        tree.put(LINE + name, pack_line(line))
    else:
        tree.delete(LINE + name)


def add_slot(line: LineRecord, worker: int) -> None:
    """Give a slot to a worker; its number stays in the line as long as the line is there or the worker lives."""
    line[IN_FLIGHT] += 1
    place = place_of(line, worker)
    if place:
        line[place] += 1
    else:
        line += worker, 1


def neighbours(line: LineRecord, worker: int) -> Called:
    """The other workers that have slots in a line."""
    each = zip(line[FIRST_WORKER::2], line[FIRST_WORKER + 1 :: 2], strict=True)
    return [Claimant(other, ANYBODY) for other, slots in each if slots and other != worker]


def somebody_waits(tree: Tree) -> bool:
    """Is there any ticket?"""
    return any(True for _ in records_between(tree, TICKET, LINE, 1))


def place_of(line: LineRecord, worker: int) -> int:
    """Where in a line the slots of a worker are counted; 0 when it is not in it."""
    for place in range(FIRST_WORKER, len(line), 2):
        if line[place] == worker:
            return place + 1
    return 0


def next_turn(tree: Tree, name: bytes) -> int:
    """The number of turns given out before this one."""
    key = TURN + name
    value = tree.get(key)
    turn: int = NUMBER.unpack(value)[0] if value else 0
    tree.put(key, NUMBER.pack(turn + 1))
    return turn


def join(tree: Tree) -> int:
    """The number of a new worker: no other in this state's life has it."""
    value = tree.get(NEWEST_WORKER)
    worker: int = NUMBER.unpack(value)[0] + 1 if value else 1
    tree.put(NEWEST_WORKER, NUMBER.pack(worker))
    tree.put(WORKER + NUMBER.pack(worker), b"")
    return worker


def part(tree: Tree, worker: int, place: bytes, most: int) -> tuple[bytes | None, list[Claimant]]:
    """One step of giving up what a gone worker has: where to go on (None: done), and whoever may start now.

    It looks at `most` records: first at all tickets, because one that is called becomes a slot, then at the lines.
    The worker's own record goes last, so that another can begin anew where this one is killed.
    """
    called: list[Claimant] = []
    records = list(records_between(tree, place, AFTER_LINES, most))
    for key, value in records:
        if key.startswith(TICKET):
            if PAIR.unpack(value)[0] == worker:
                settle(tree, key)
        elif place_of(unpack_line(value), worker):
            called += strike(tree, key[len(LINE) :], worker)
        if len(called) >= most:
            return key + NEXT_KEY, called
    if len(records) == most:
        return records[-1][0] + NEXT_KEY, called
    tree.delete(WORKER + NUMBER.pack(worker))
    return None, called


def strike(tree: Tree, name: bytes, worker: int) -> Called:
    """Take a gone worker out of a line: whoever may start now."""
    line = read_line(tree, name)
    place = place_of(line, worker)
    line[IN_FLIGHT] -= line[place]
    del line[place - 1 : place + 1]
    called = call_heads(tree, name, line)
    write_line(tree, name, line)
    return called


def workers(tree: Tree) -> list[int]:
    """All workers that have joined and not parted."""
    return [NUMBER.unpack_from(key, len(WORKER))[0] for key, _ in records_between(tree, WORKER, AFTER_WORKERS)]


def lines(tree: Tree) -> Iterator[tuple[bytes, int, int]]:
    """All names with somebody who holds or waits: slots taken, requests waiting."""
    for key, value in records_between(tree, LINE, AFTER_LINES):
        in_flight, queued = unpack_line(value)[: QUEUED + 1]
        yield key[len(LINE) :], in_flight, queued


def records_between(tree: Tree, first: bytes, after: bytes, most: int = sys.maxsize) -> Iterator[tuple[bytes, bytes]]:
    """The records from the key `first` on, `most` of them at the most, and none from `after` on."""
    with tree.cursor() as cursor:
        if cursor.set_range(first):
            for key, value in itertools.islice(cursor.iternext(), most):
                if key >= after:
                    return
                yield key, value
