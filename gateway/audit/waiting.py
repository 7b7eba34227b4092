"""Whose records may wait, and whose is next? All share one room and one thread, and nobody has the others' part.

An organization may have as much waiting as is still free: one that floods fills half of the room, two that flood at
once two thirds, and whoever comes next finds a place (Choudhury and Hahne, "Dynamic queue length thresholds"). Next is
what would have begun first, had all who wait been served at one rate (Goyal, Vin and Cheng, "Start-time fair
queueing"): a small record does not stand behind a whole flood, and an organization's own keep their order.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count
from queue import SimpleQueue
from typing import Final, Generic, NamedTuple, TypeVar

MAX_BATCH: Final = 256
"""Records that are taken together."""
MAX_BATCH_BYTES: Final = 1024 * 1024
"""Of their memory, unless the first alone has more: the next to come wait for all of them."""
MIN_SWEEP: Final = 4096
"""Organizations that are remembered before those are forgotten of which nothing waits."""

Item = TypeVar("Item")


class _Share:
    """What one organization has waiting.

    Attributes:
        size: bytes of it. Changed by both threads, without a lock, as `+=` on an attribute with no call in it has no
            point at which CPython's own lock changes hands.
        end: where its turns end, in bytes served to each of those who wait.
    """

    __slots__ = ("end", "size")

    def __init__(self) -> None:
        self.size = 0
        self.end = 0


class Entry(NamedTuple, Generic[Item]):
    """What waits: a record, the memory that it takes, and whose it is."""

    item: Item
    size: int
    share: _Share


class Waiting(Generic[Item]):
    """Records on their way from one thread, which puts them, to another, which takes them.

    Args:
        room: bytes of memory that they may have together.

    Attributes:
        behind: the last batch was not all that had come.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._size = 0
        """As a share's, changed by both threads."""
        self._shares: dict[str, _Share] = {}
        self._sweep_at = MIN_SWEEP
        self._arrived: SimpleQueue[Entry[Item] | None] = SimpleQueue()
        self._order: list[tuple[int, int, Entry[Item]]] = []
        """A heap, of the thread that takes: where an entry's turn begins, its number, the entry."""
        self._numbers = count()
        self._turn = 0
        self._closed = False
        self.behind = False

    @property
    def size(self) -> int:
        """Bytes that wait, or were taken and not yet released."""
        return self._size

    def put(self, organization: str, item: Item, size: int) -> bool:
        """Have it wait; False where that organization would have more waiting than is free."""
        share = self._shares.get(organization) or self._meet(organization)
        if share.size + size > self._room - self._size:
            return False
        self._size += size
        share.size += size
        self._arrived.put(Entry(item, size, share))
        return True

    def close(self) -> None:
        """No more will come."""
        self._arrived.put(None)

    def wait(self) -> bool:
        """Wait until there is something to take; False: there is nothing, and no more will come."""
        self.behind = bool(self._order)
        if not self.behind and not self._closed:
            self._arrange(self._arrived.get())
        return bool(self._order)

    def take(self) -> list[Entry[Item]]:
        """Those who are next, one at the least and a batch at the most; each is to be released."""
        for _ in range(self._arrived.qsize()):
            self._arrange(self._arrived.get())
        taken: list[Entry[Item]] = []
        size = 0
        while self._order and size < MAX_BATCH_BYTES and len(taken) < MAX_BATCH:
            self._turn, _, entry = heappop(self._order)
            taken.append(entry)
            size += entry.size
        return taken

    def release(self, entries: Iterable[Entry[Item]]) -> None:
        """Nothing of them is kept any more."""
        for entry in entries:
            share, size = entry.share, entry.size
            share.size -= size
            self._size -= size

    def _meet(self, organization: str) -> _Share:
        if len(self._shares) >= self._sweep_at:
            self._shares = {name: share for name, share in self._shares.items() if share.size}
            self._sweep_at = max(MIN_SWEEP, 2 * len(self._shares))
        share = self._shares[organization] = _Share()
        return share

    def _arrange(self, entry: Entry[Item] | None) -> None:
        if entry is None:
            self._closed = True
            return
        begin = max(self._turn, entry.share.end)
        entry.share.end = begin + entry.size
        heappush(self._order, (begin, next(self._numbers), entry))
