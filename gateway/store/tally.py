"""What does a line count? Slots taken over all workers and by each, and requests that wait for one."""

from gateway.store.records import Claimant, pack_line, unpack_line
from gateway.store.tree import Tree

LineRecord = list[int]
"""Slots taken, requests waiting, limit, number of the next ticket; then each worker's number and its slots."""

IN_FLIGHT, QUEUED, LIMIT, NEXT, FIRST_WORKER = range(5)

FIRST_TICKET = 1

ANYBODY = 0
"""The token that stands for a worker itself, which is to hear that somebody waits; those of requests begin at 1."""


def read_line(tree: Tree, key: bytes) -> LineRecord:
    """The line there; that of a name which nobody uses is kept nowhere."""
    value = tree.get(key)
    return unpack_line(value) if value else [0, 0, 0, FIRST_TICKET]


def write_line(tree: Tree, key: bytes, line: LineRecord) -> None:
    """Keep the line, or forget it when nobody holds or waits."""
    if line[IN_FLIGHT] or line[QUEUED]:
        tree.put(key, pack_line(line))
    else:
        tree.delete(key)


def add_slot(line: LineRecord, worker: int) -> None:
    """Give a slot to a worker; its number stays in the line as long as the line is there or the worker lives."""
    line[IN_FLIGHT] += 1
    place = place_of(line, worker)
    if place:
        line[place] += 1
    else:
        line += worker, 1


def remove_slot(line: LineRecord, worker: int) -> bool:
    """Take a slot from a worker; whether it had any."""
    place = place_of(line, worker)
    if not place or not line[place]:
        return False
    line[place] -= 1
    line[IN_FLIGHT] -= 1
    return True


def place_of(line: LineRecord, worker: int) -> int:
    """Where in a line the slots of a worker are counted; 0 when it is not in it."""
    for place in range(FIRST_WORKER, len(line), 2):
        if line[place] == worker:
            return place + 1
    return 0


def strike(line: LineRecord, worker: int) -> bool:
    """Take a worker out of a line with all its slots; whether it was in it."""
    place = place_of(line, worker)
    if place:
        line[IN_FLIGHT] -= line[place]
        del line[place - 1 : place + 1]
    return bool(place)


def neighbours(line: LineRecord, worker: int) -> list[Claimant]:
    """The other workers that have slots in a line."""
    each = zip(line[FIRST_WORKER::2], line[FIRST_WORKER + 1 :: 2], strict=True)
    return [Claimant(other, ANYBODY) for other, slots in each if slots and other != worker]
