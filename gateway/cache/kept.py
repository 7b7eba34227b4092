"""What was answered before? Answers kept for a while within bounds: decisions on one map, pure but for it."""

from typing import Final, NamedTuple

from gateway.cache.records import (
    ANSWER,
    ENTRY,
    NUMBER,
    ORDER,
    Entry,
    Totals,
    read_entry,
    read_totals,
    write_entry,
    write_totals,
)
from gateway.store.tree import Tree, records_under

OVERHEAD_BYTES: Final = 256
"""Of an answer's three records, their keys and their share of the pages above them."""
PAGE_BYTES: Final = 4096
LONG_BYTES: Final = 1024
"""A longer value may have whole pages of its own, and is counted with them."""
SPARED: Final = 16
"""Used answers that are spared, at the most, while room is made for one: so long one transaction takes."""


NEVER: Final = 2**64 - 1
"""Above every number."""


class Answer(NamedTuple):
    """A whole answer with status 200, as clients get it."""

    content_type: bytes
    body: bytes


class Bounds(NamedTuple):
    """What may be kept.

    Attributes:
        ttl: for how many seconds.
        entries: how many answers.
        size: how many bytes of them, counted as `size_of` does.
        answer: how long the longest body may be.
    """

    ttl: float
    entries: int
    size: int
    answer: int


class Kept(NamedTuple):
    """What keeping an answer has changed, in bytes and in answers.

    Attributes:
        added: bytes of the new answer.
        dropped: bytes of those that have gone.
        expired: answers that had outlived their time.
        evicted: answers that had to make room.
    """

    added: int = 0
    dropped: int = 0
    expired: int = 0
    evicted: int = 0


def size_of(answer: Answer) -> int:
    """The bytes that an answer is counted with: at least what it takes."""
    length = len(answer.content_type) + 1 + len(answer.body)
    if length > LONG_BYTES:
        length = -(-(length + 16) // PAGE_BYTES) * PAGE_BYTES  # a page's own head is 16 bytes
    return length + OVERHEAD_BYTES


def find(tree: Tree, key: bytes, now: float, since: int = NEVER) -> Answer | None:
    """The kept answer, marked as used; one that has outlived its time is not found.

    Whoever has waited for it finds it all the same: it was kept since they came, under a number above `since`.
    """
    entry = read_entry(tree, key)
    if entry is None or (entry.expires <= now and entry.number <= since):
        return None
    if not entry.used:
        write_entry(tree, key, entry._replace(used=True))
    value = tree.get(ANSWER + key)
    assert value is not None  # noqa: S101 -- both are written and removed in one transaction
    content_type, _, body = value.partition(b"\n")
    return Answer(content_type, body)


def keep(tree: Tree, key: bytes, answer: Answer, bounds: Bounds, now: float) -> Kept:
    """Keep an answer in place of an older one of its key; others go that outlived their time or were not used."""
    size = size_of(answer)
    if size > bounds.size or len(answer.body) > bounds.answer:
        return Kept()
    totals = before = read_totals(tree)
    older = read_entry(tree, key)
    if older is not None:
        totals = _drop(tree, key, older, totals)
    expired = evicted = 0
    if totals.entries:
        totals, expired, evicted = _make_room(tree, totals, bounds, size, now)
    entries, kept, newest = totals
    write_totals(tree, Totals(entries + 1, kept + size, newest + 1))
    write_entry(tree, key, Entry(now + bounds.ttl, newest + 1, size, used=False))
    tree.put(ANSWER + key, b"%b\n%b" % answer)
    tree.put(ORDER + NUMBER.pack(newest + 1), key)
    return Kept(size, before.size - kept, expired, evicted)


def clear(tree: Tree) -> Kept:
    """Forget all answers."""
    totals = read_totals(tree)
    for record, key in list(records_under(tree, ORDER)):
        tree.delete(record)
        tree.delete(ENTRY + key)
        tree.delete(ANSWER + key)
    write_totals(tree, totals._replace(entries=0, size=0))
    return Kept(dropped=totals.size, evicted=totals.entries)


def _make_room(tree: Tree, totals: Totals, bounds: Bounds, size: int, now: float) -> tuple[Totals, int, int]:
    """Drop the oldest until one of that size fits: what is left, how many were expired, and how many not.

    Whoever was used since it was kept has a second turn, as in the clock algorithm.
    """
    expired = evicted = spared = 0
    while (first := _first(tree)) is not None:
        record, key = first
        entry = read_entry(tree, key)
        assert entry is not None  # noqa: S101 -- as in `find`
        if entry.expires <= now:
            expired += 1
        elif totals.entries < bounds.entries and totals.size + size <= bounds.size:
            break
        elif entry.used and spared < SPARED:
            spared += 1
            totals = _spare(tree, record, key, entry, totals)
            continue
        else:
            evicted += 1
        totals = _drop(tree, key, entry, totals)
    return totals, expired, evicted


def _first(tree: Tree) -> tuple[bytes, bytes] | None:
    """The first answer in the order: its record there, and its key."""
    with tree.cursor() as cursor:
        if cursor.set_range(ORDER) and cursor.key()[:1] == ORDER:
            return cursor.key(), cursor.value()
    return None


def _spare(tree: Tree, record: bytes, key: bytes, entry: Entry, totals: Totals) -> Totals:
    """Move an answer to the end of the order."""
    number = totals.newest + 1
    tree.delete(record)
    tree.put(ORDER + NUMBER.pack(number), key)
    write_entry(tree, key, entry._replace(number=number, used=False))
    return totals._replace(newest=number)


def _drop(tree: Tree, key: bytes, entry: Entry, totals: Totals) -> Totals:
    tree.delete(ORDER + NUMBER.pack(entry.number))
    tree.delete(ENTRY + key)
    tree.delete(ANSWER + key)
    return totals._replace(entries=totals.entries - 1, size=totals.size - entry.size)
