"""What does one decision change in the shared state? Each function here is the whole of one LMDB transaction."""

from collections.abc import Iterator
from enum import Enum

from gateway.store.line import heads_due, may_start
from gateway.store.records import (
    CLAIM,
    HOLDING,
    LINE,
    LINE_RECORD,
    NEWEST_WORKER,
    NUMBER,
    PAIR,
    TURN,
    WORKER,
    Claimant,
    claim_key,
    pack_claim,
    ticket_prefix,
    unpack_claim,
)
from gateway.store.tree import Tree

LineRecord = tuple[int, int, int, int]
"""Slots taken, requests waiting, limit, number of the next ticket."""

NOBODY: LineRecord = (0, 0, 0, HOLDING + 1)


class Entry(Enum):
    """What became of a request for a slot."""

    STARTED = "started"
    QUEUED = "queued"
    REFUSED = "refused"


def enter(tree: Tree, name: bytes, who: Claimant, limit: int, max_queued: int) -> tuple[Entry, list[Claimant]]:
    """Start, queue or refuse `who`; also whoever else may start now, because the limit was raised."""
    in_flight, queued, _old_limit, number = read_line(tree, name)
    called = call_heads(tree, name, heads_due(in_flight, queued, limit))
    in_flight, queued = in_flight + len(called), queued - len(called)
    entry = Entry.STARTED
    if may_start(in_flight, queued, limit):
        in_flight += 1
        tree.put(claim_key(who), pack_claim(HOLDING, name))
    elif queued < max_queued:
        entry = Entry.QUEUED
        queued += 1
        tree.put(claim_key(who), pack_claim(number, name))
        tree.put(ticket_prefix(name) + NUMBER.pack(number), PAIR.pack(*who))
        number += 1
    else:
        entry = Entry.REFUSED
    write_line(tree, name, (in_flight, queued, limit, number))
    return entry, called


def leave(tree: Tree, who: Claimant) -> list[Claimant]:
    """Give up the slot or the place in the queue of `who`: whoever may start now. Nothing to give up is no error."""
    claim = tree.pop(claim_key(who))
    if claim is None:
        return []
    number, name = unpack_claim(claim)
    in_flight, queued, limit, next_ticket = read_line(tree, name)
    if number == HOLDING:
        in_flight -= 1
    else:
        queued -= 1
        tree.delete(ticket_prefix(name) + NUMBER.pack(number))
    called = call_heads(tree, name, heads_due(in_flight, queued, limit))
    write_line(tree, name, (in_flight + len(called), queued - len(called), limit, next_ticket))
    return called


def settle(tree: Tree, who: Claimant) -> tuple[bool, list[Claimant]]:
    """Has `who` a slot? If not, its place in the queue is given up; and whoever may start now."""
    claim = tree.get(claim_key(who))
    if claim is not None and unpack_claim(claim)[0] == HOLDING:
        return True, []
    return False, leave(tree, who)


def call_heads(tree: Tree, name: bytes, due: int) -> list[Claimant]:
    """Turn the first `due` tickets of `name` into slots; the caller writes the line."""
    called: list[Claimant] = []
    if not due:
        return called
    prefix = ticket_prefix(name)
    with tree.cursor() as cursor:
        for _ in range(due):
            cursor.set_range(prefix)
            who = Claimant(*PAIR.unpack(cursor.value()))
            cursor.delete()
            tree.put(claim_key(who), pack_claim(HOLDING, name))
            called.append(who)
    return called


def read_line(tree: Tree, name: bytes) -> LineRecord:
    """The line of `name`; that of a name which nobody uses is kept nowhere."""
    value = tree.get(LINE + name)
    return LINE_RECORD.unpack(value) if value else NOBODY


def write_line(tree: Tree, name: bytes, line: LineRecord) -> None:
    """Keep the line of `name`, or forget it when nobody holds or waits."""
    if line[0] or line[1]:
        tree.put(LINE + name, LINE_RECORD.pack(*line))
    else:
        tree.delete(LINE + name)


def next_turn(tree: Tree, name: bytes) -> int:
    """The number of turns given out before this one."""
    value = tree.get(TURN + name)
    turn: int = NUMBER.unpack(value)[0] if value else 0
    tree.put(TURN + name, NUMBER.pack(turn + 1))
    return turn


def join(tree: Tree) -> int:
    """The number of a new worker: no other in this state's life has it."""
    value = tree.get(NEWEST_WORKER)
    worker: int = NUMBER.unpack(value)[0] + 1 if value else 1
    tree.put(NEWEST_WORKER, NUMBER.pack(worker))
    tree.put(WORKER + NUMBER.pack(worker), b"")
    return worker


def part(tree: Tree, worker: int, most: int) -> tuple[bool, list[Claimant]]:
    """Give up at most `most` claims of a worker that is gone: whether it is done, and whoever may start now.

    The worker's own record goes last, so that another can go on where this one is killed.
    """
    called: list[Claimant] = []
    claims = claims_of(tree, worker, most)
    for who in claims:
        called += leave(tree, who)
    if len(claims) < most:
        tree.delete(WORKER + NUMBER.pack(worker))
        return True, [who for who in called if who.worker != worker]
    return False, [who for who in called if who.worker != worker]


def claims_of(tree: Tree, worker: int, most: int) -> list[Claimant]:
    """The first `most` claims of a worker."""
    claims: list[Claimant] = []
    prefix = CLAIM + NUMBER.pack(worker)
    for key in keys_with(tree, prefix):
        claims.append(Claimant(*PAIR.unpack_from(key, len(CLAIM))))
        if len(claims) == most:
            break
    return claims


def workers(tree: Tree) -> list[int]:
    """All workers that have joined and not parted."""
    return [NUMBER.unpack_from(key, len(WORKER))[0] for key in keys_with(tree, WORKER)]


def lines(tree: Tree) -> Iterator[tuple[bytes, LineRecord]]:
    """All names with somebody who holds or waits."""
    for key in keys_with(tree, LINE):
        name = key[len(LINE) :]
        yield name, read_line(tree, name)


def keys_with(tree: Tree, prefix: bytes) -> Iterator[bytes]:
    """All keys that begin with `prefix`, in order."""
    with tree.cursor() as cursor:
        if cursor.set_range(prefix):
            for key in cursor.iternext(keys=True, values=False):
                if not key.startswith(prefix):
                    return
                yield key
