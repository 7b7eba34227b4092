"""What waits for the ledger? Sheets of usage records in the tree, which is bounded: a part of a transaction each."""

from collections.abc import Iterable, Sequence

from gateway.core.usage_sheet import Sheet, encode_sheet
from gateway.store.accounts import JournalCounts
from gateway.store.records import AFTER_JOURNAL, BOOKS, COUNTS, JOURNAL
from gateway.store.tree import Tree, records_between

NO_BOOKS = bytes(COUNTS.size)


def write(tree: Tree, key: bytes, records: Sequence[bytes]) -> None:
    """Put a sheet of records into the journal; those for which that has no room are lost, and counted."""
    accounts, sheets, count, size, most, lost = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    room = most - size - len(key)
    sheet = encode_sheet(records)
    while len(sheet) > room and records:
        lost += 1
        records = records[:-1]
        sheet = encode_sheet(records)
    if records:
        sheets += 1
        count += len(records)
        size += len(key) + len(sheet)
        tree.put(key, sheet)
    tree.put(BOOKS, COUNTS.pack(accounts, sheets, count, size, most, lost))


def first(tree: Tree, most: int) -> list[Sheet]:
    """The sheets that stand first in the journal, until they have so many records."""
    found: list[Sheet] = []
    for key, value in records_between(tree, JOURNAL, AFTER_JOURNAL):
        found.append(sheet := Sheet(key, value))
        most -= sheet.count()
        if most <= 0:
            break
    return found


def forget(tree: Tree, keys: Iterable[bytes]) -> None:
    """Remove sheets that somebody has taken away."""
    accounts, sheets, count, size, most, lost = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    with tree.cursor() as cursor:
        for key in keys:
            if key[:1] == JOURNAL and cursor.set_key(key):
                value = cursor.value()
                sheets -= 1
                count -= Sheet(key, value).count()
                size -= len(key) + len(value)
                cursor.delete()
    tree.put(BOOKS, COUNTS.pack(accounts, sheets, count, size, most, lost))


def journal_counts(tree: Tree) -> JournalCounts:
    """How full the journal is."""
    _, _, count, size, _, lost = COUNTS.unpack(tree.get(BOOKS) or NO_BOOKS)
    return JournalCounts(count, size, lost)


def entries_of_books(tree: Tree) -> int:
    """How many of the tree's records are accounts and what belongs to them, reservations aside."""
    value = tree.get(BOOKS)
    if value is None:
        return 0
    accounts, sheets, *_ = COUNTS.unpack(value)
    return int(accounts) + int(sheets) + 2
