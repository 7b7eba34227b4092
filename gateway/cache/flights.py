"""Who runs it? Of identical requests one leads and the others wait: decisions on one map, pure but for it.

Each is one transaction. Whoever is named in what a function returns is to be woken, and looks.
"""

from typing import Final

from gateway.cache.records import (
    CLAIMANT,
    FLIGHT,
    KEY_BYTES,
    NEWEST,
    NUMBER,
    WAITER,
    WORKER,
    Claimant,
    Flight,
    flights,
    next_number,
    read_flight,
    read_waiter,
    waiting,
    write_flight,
)
from gateway.store.tree import Tree, records_under

FAILURES: Final = 1
"""Leaders that are replaced. What failed twice fails for all who wait: a sick backend, or a worker that a body kills,
is not to be met once for each of them."""

ALONE: Final = b"-"
"""Told to a waiter: this answer is not for sharing, ask by yourself."""


def lead_or_wait(tree: Tree, key: bytes, claimant: Claimant) -> bytes | None:
    """Begin the key's flight (None), or wait for it: the key of the waiter's record."""
    if tree.get(FLIGHT + key) is None:
        write_flight(tree, key, Flight(*claimant))
        return None
    record = WAITER + key + NUMBER.pack(next_number(tree))
    tree.put(record, CLAIMANT.pack(*claimant))
    return record


def number_of(record: bytes) -> int:
    """The number under which a waiter came; what was kept later has a higher one."""
    return int(NUMBER.unpack_from(record, len(WAITER) + KEY_BYTES)[0])


def leads(tree: Tree, key: bytes, claimant: Claimant) -> bool:
    """Whether the key's flight is led by this one."""
    flight = read_flight(tree, key)
    return flight is not None and flight[:2] == claimant


def land(tree: Tree, key: bytes, leader: Claimant, told: bytes = b"") -> list[Claimant]:
    """End a flight; those who wait are told so, or, where that is empty, find its answer kept."""
    if not leads(tree, key, leader):
        return []
    tree.delete(FLIGHT + key)
    called = waiting(tree, key)
    for record, claimant in called:
        if told:
            tree.put(record, CLAIMANT.pack(*claimant) + told)
        else:
            tree.delete(record)
    return [claimant for _, claimant in called]


def fail(tree: Tree, key: bytes, leader: Claimant, told: bytes) -> list[Claimant]:
    """A leader has failed: the first who waits leads in its stead, or, once too often, all are told so."""
    flight = read_flight(tree, key)
    if flight is None or flight[:2] != leader:
        return []
    if flight.failures >= FAILURES:
        return land(tree, key, leader, told)
    return _hand_on(tree, key, flight.failures + 1)


def desert(tree: Tree, key: bytes, leader: Claimant) -> bool:
    """A leader's client has gone: whether it runs on, for those who wait; else the flight has ended."""
    if not leads(tree, key, leader):
        return False
    if not waiting(tree, key):
        tree.delete(FLIGHT + key)
        return False
    flight = read_flight(tree, key)
    assert flight is not None  # noqa: S101 -- it is led
    write_flight(tree, key, flight._replace(deserted=1))
    return True


def leave(tree: Tree, key: bytes, record: bytes, claimant: Claimant) -> list[Claimant]:
    """A waiter has gone. If it was just made the leader, the next one is; the last one ends a deserted flight."""
    if tree.delete(record):
        return _end_if_for_nobody(tree, key)
    flight = read_flight(tree, key)
    if flight is None or flight[:2] != claimant:
        return []
    return _hand_on(tree, key, flight.failures)


def told(tree: Tree, record: bytes) -> bytes | None:
    """What a waiter was told: empty while it waits; None when its record is gone, since it leads, or all is over."""
    value = tree.get(record)
    if value is None:
        return None
    words = read_waiter(value)[1]
    if words:
        tree.delete(record)
    return words


def waits(tree: Tree, record: bytes) -> bool:
    """Whether a waiter has been told nothing yet."""
    value = tree.get(record)
    return value is not None and len(value) == CLAIMANT.size


def join(tree: Tree) -> int:
    """The number of a new worker."""
    value = tree.get(NEWEST)
    worker = 1 if value is None else int(NUMBER.unpack(value)[0]) + 1
    tree.put(NEWEST, NUMBER.pack(worker))
    tree.put(WORKER + NUMBER.pack(worker), b"")
    return worker


def workers(tree: Tree) -> list[int]:
    """All workers that have joined and were not buried."""
    return [NUMBER.unpack_from(key, len(WORKER))[0] for key, _ in records_under(tree, WORKER)]


def bury(tree: Tree, worker: int, told: bytes) -> list[Claimant]:
    """A worker is gone: whom it led is led by others, for whom it waited need not run on for it."""
    called: list[Claimant] = []
    waiters = [(record, *read_waiter(value)) for record, value in records_under(tree, WAITER)]
    for record, claimant, _ in waiters:
        if claimant.worker == worker:
            tree.delete(record)
            called += _end_if_for_nobody(tree, record[len(WAITER) : len(WAITER) + KEY_BYTES])
    for key, flight in list(flights(tree)):
        if flight.worker == worker:
            called += fail(tree, key, Claimant(flight.worker, flight.token), told)
    tree.delete(WORKER + NUMBER.pack(worker))
    return called


def _hand_on(tree: Tree, key: bytes, failures: int) -> list[Claimant]:
    """Make the first who waits the leader; a flight for which nobody waits ends."""
    called = waiting(tree, key)
    if not called:
        tree.delete(FLIGHT + key)
        return []
    record, claimant = called[0]
    tree.delete(record)
    write_flight(tree, key, Flight(*claimant, failures))
    return [claimant]


def _end_if_for_nobody(tree: Tree, key: bytes) -> list[Claimant]:
    flight = read_flight(tree, key)
    if flight is None or not flight.deserted or waiting(tree, key):
        return []
    tree.delete(FLIGHT + key)
    return [Claimant(flight.worker, flight.token)]
