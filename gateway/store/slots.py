"""Who runs, and who waits for a slot? Each function here is the whole of one LMDB transaction.

Three requests of an organization that may have one slot, each named by its worker and its token, and what stands in the
tree after every call: the organization's line (`tally.LineRecord`) and its tickets.

    call              taken  waiting  next ticket  slots of workers  tickets
    enter (1, 11)     1      0        1            1: 1              -
    enter (1, 12)     1      1        2            1: 1              1 (1, 12)
    enter (2, 21)     1      2        3            1: 1              1 (1, 12), 2 (2, 21)
    leave (1, 11)     1      1        3            1: 1              2 (2, 21)
    settle (1, 12)    1      1        3            1: 1              2 (2, 21)
    withdraw (2, 21)  1      0        3            1: 1              -
    leave (1, 12)     -      -        -            -                 -

The first one's end makes the second's ticket a slot of its worker at once, so that no newcomer can have it; (1, 12) is
called, and `settle` finds its ticket gone: it has a slot. The third gives up its place. A line that nobody
needs is kept nowhere.
"""

from collections.abc import Iterator, Mapping, Sequence

from gateway.store.line import ROOM, heads_due, may_start
from gateway.store.records import (
    AFTER_LINES,
    AFTER_TICKETS,
    LINE,
    LINE_HEAD,
    LINE_SHAPES,
    NUMBER,
    PAIR,
    TICKET,
    TURN,
    Claimant,
    name_of_ticket,
    pack_line,
    ticket_key,
    ticket_prefix,
    unpack_line,
)
from gateway.store.tally import (
    FIRST_TICKET,
    IN_FLIGHT,
    LIMIT,
    NEXT,
    QUEUED,
    LineRecord,
    add_slot,
    neighbours,
    place_of,
    read_line,
    write_line,
)
from gateway.store.tree import Tree, records_between

STARTED_WITH_ROOM, REFUSED, STARTED = -2, -1, 0
"""What `enter` says besides the number of a ticket, which begins at `FIRST_TICKET`."""

Called = Sequence[Claimant]
"""Whom a decision gives reason to look: those whose tickets became slots, and workers whose slots are waited for."""

NOBODY: Called = ()


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
        entry = STARTED_WITH_ROOM if ROOM * line[IN_FLIGHT] <= limit else STARTED
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
    return not queued and ROOM * in_flight <= limit


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
        write_line(tree, LINE + name, line)
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
    line = read_line(tree, LINE + name)
    line[QUEUED] -= 1
    write_line(tree, LINE + name, line)
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


def somebody_waits(tree: Tree) -> bool:
    """Is there any ticket?"""
    return any(True for _ in records_between(tree, TICKET, AFTER_TICKETS, 1))


def next_turn(tree: Tree, name: bytes) -> int:
    """The number of turns given out before this one."""
    key = TURN + name
    value = tree.get(key)
    turn: int = NUMBER.unpack(value)[0] if value else 0
    tree.put(key, NUMBER.pack(turn + 1))
    return turn


def lines(tree: Tree) -> Iterator[tuple[bytes, int, int]]:
    """All names with somebody who holds or waits: slots taken, requests waiting."""
    for key, value in records_between(tree, LINE, AFTER_LINES):
        in_flight, queued = unpack_line(value)[: QUEUED + 1]
        yield key[len(LINE) :], in_flight, queued
