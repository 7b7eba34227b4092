"""Which buckets may be forgotten? Idle ones in passing, and the fullest ones when there are too many."""

from collections.abc import Mapping

from gateway.store import bucket as buckets
from gateway.store import lending
from gateway.store.choices import EVICTION_SAMPLE
from gateway.store.journal import entries_of_books
from gateway.store.lending import Answer, Asked, Parcel
from gateway.store.records import AFTER_BUCKETS, BUCKET, LINE
from gateway.store.tree import Tree

SWEEP = 128
"""Buckets looked at per tick: 100,000 are seen in 20 s by four workers, at 0.1 ms a tick."""


BUCKETS_SHARE = 0.7
"""Share of the map above which a new bucket costs old ones their place. A map full to its last page could not even
shrink, because LMDB writes new pages to delete, too; nothing reads it at length, so that freed pages are used again."""


class BucketShelf:
    """The buckets in an LMDB tree: at most `max_records` with whatever else it holds, in a share of `map_bytes`.

    The hand goes round the keys in order; those with somebody who holds a slot or waits, or tokens, are passed by.
    """

    def __init__(self, max_records: int, map_bytes: int, idle_secs: float) -> None:
        self._max_records = max_records
        self._max_bytes = map_bytes * BUCKETS_SHARE
        self._idle_secs = idle_secs
        self._hand = BUCKET

    def take(self, tree: Tree, name: bytes, now: float, asked: Asked) -> Answer:
        """Take from a bucket, and write it if it changed; a new one may cost others their place."""
        key = BUCKET + name
        value = tree.get(key)
        after, answer = lending.take(value, now, asked)
        if after is not None and after != value:
            if value is None and self._is_full(tree):
                self.make_room(tree, now)
            tree.put(key, after)
        return answer

    @staticmethod
    def give_back(tree: Tree, worker: int, now: float, held: Mapping[bytes, Parcel]) -> None:
        """Put parcels of a worker back, by the names of their buckets; one that is forgotten is full."""
        for name, parcel in held.items():
            key = BUCKET + name
            after = lending.give_back(tree.get(key), now, worker, parcel)
            if after is not None:
                tree.put(key, after)

    def make_room(self, tree: Tree, now: float) -> None:
        """Forget the full buckets of one sample, or else the fullest."""
        for key in buckets.choose_victims(self._sample(tree, EVICTION_SAMPLE, now), now):
            tree.delete(key)

    def forget_idle(self, tree: Tree, now: float) -> None:
        """Look at the next buckets on the way round, and forget those that have been full for the idle time."""
        since = now - self._idle_secs
        for key, full_at in self._sample(tree, SWEEP, now):
            if full_at <= since:
                tree.delete(key)

    def _sample(self, tree: Tree, most: int, now: float) -> list[tuple[bytes, float]]:
        sample: list[tuple[bytes, float]] = []
        with tree.cursor() as cursor:
            cursor.set_range(self._hand)
            for _ in range(most):
                key = cursor.key()
                if not BUCKET <= key < AFTER_BUCKETS:
                    self._hand = BUCKET
                    return sample
                full_at = lending.full_at(cursor.value(), now)
                if full_at is not None and not self._in_use(tree, key):
                    sample.append((key, full_at))
                cursor.next()
            self._hand = cursor.key() or BUCKET
        return sample

    def _is_full(self, tree: Tree) -> bool:
        stat = tree.stat()
        entries = stat["entries"] - entries_of_books(tree)
        return entries >= self._max_records or used_bytes(stat) > self._max_bytes

    @staticmethod
    def _in_use(tree: Tree, key: bytes) -> bool:
        return tree.get(LINE + key[len(BUCKET) :]) is not None


def used_bytes(stat: dict[str, int]) -> int:
    """The size of a tree's pages in use."""
    return (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
