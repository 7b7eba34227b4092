"""How many slots are taken, over all workers, and by whom? Read from the tree when somebody asks."""

import heapq

from gateway.store import slots
from gateway.store.choices import BUSIEST
from gateway.store.journal import entries_of_books
from gateway.store.protocol import KeyCounts, StoreCounts
from gateway.store.records import AFTER_RESERVATIONS, AFTER_TRANCHES, AFTER_WORKERS, RESERVATION, TRANCHE, TURN
from gateway.store.seat_records import AFTER_SEATS, BACKLOG
from gateway.store.tree import Tree, records_between


def count(tree: Tree) -> StoreCounts:
    """The state over all workers; about 1 us for each organization that holds or waits."""
    each = lines(tree)
    in_flight, queued = sum(count.in_flight for count in each), sum(count.queued for count in each)
    seats = sum(1 for _ in records_between(tree, BACKLOG, AFTER_SEATS))
    running = sum(1 for _ in records_between(tree, RESERVATION, AFTER_RESERVATIONS))
    running += sum(1 for _ in records_between(tree, TRANCHE, AFTER_TRANCHES))
    few = 1 + sum(1 for _ in records_between(tree, TURN, AFTER_WORKERS))  # turns, workers, the newest's number
    tracked = tree.stat()["entries"] - len(each) - queued - seats - few - running - entries_of_books(tree)
    return StoreCounts(in_flight, queued, tracked, busiest(each))


def lines(tree: Tree) -> list[KeyCounts]:
    """All keys with somebody who holds or waits."""
    return [KeyCounts(name.decode("utf-8", "replace"), *figures) for name, *figures in slots.lines(tree)]


def busiest(each: list[KeyCounts]) -> tuple[KeyCounts, ...]:
    """The keys with the most requests."""
    return tuple(heapq.nlargest(BUSIEST, each, key=lambda count: count.in_flight + count.queued))
