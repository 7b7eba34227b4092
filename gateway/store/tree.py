"""What of LMDB is used? The few calls of a transaction, with values as bytes, which its own types leave open."""

import itertools
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self


class Cursor(Protocol):
    """A place in the sorted keys; beyond the last one key and value are empty."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def set_range(self, key: bytes) -> bool:
        """Go to the first key that is not less than `key`."""
        ...

    def set_key(self, key: bytes) -> bool:
        """Go to that key, if it is there."""
        ...

    def next(self) -> bool:
        """Go to the next key."""
        ...

    def key(self) -> bytes:
        """The key here."""
        ...

    def value(self) -> bytes:
        """The value here."""
        ...

    def delete(self) -> bool:
        """Remove what is here."""
        ...

    def iternext(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values from here to the end."""
        ...


class Tree(Protocol):
    """A transaction of `lmdb.Environment.begin`, which sees and changes one sorted map of bytes."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        ...

    def put(self, key: bytes, value: bytes) -> bool:
        """Write a key's value."""
        ...

    def delete(self, key: bytes) -> bool:
        """Remove a key; False when it was not there."""
        ...

    def cursor(self) -> Cursor:
        """A place to search from; close it with its transaction."""
        ...

    def commit(self) -> None:
        """Make it so."""
        ...

    def abort(self) -> None:
        """Undo it."""
        ...

    def stat(self) -> dict[str, int]:
        """Figures of the map: `entries` is the number of its keys."""
        ...


class Environment(Protocol):
    """An open `lmdb.Environment`."""

    def begin(self, db: None, parent: None, write: bool, /) -> Tree:  # noqa: FBT001 -- LMDB's; names cost 0.3 us
        """A transaction, to be committed or aborted by whoever began it."""
        ...

    def close(self) -> None:
        """Unmap it; every later use raises `lmdb.Error`."""
        ...


def records_between(tree: Tree, first: bytes, after: bytes, most: int = sys.maxsize) -> Iterator[tuple[bytes, bytes]]:
    """The records from the key `first` on, `most` of them at the most, and none from `after` on."""
    with tree.cursor() as cursor:
        if cursor.set_range(first):
            for key, value in itertools.islice(cursor.iternext(), most):
                if key >= after:
                    return
                yield key, value


def records_under(tree: Tree, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records whose keys begin so, in the order of their keys."""
    with tree.cursor() as cursor:
        if cursor.set_range(prefix):
            for key, value in cursor.iternext():
                if not key.startswith(prefix):
                    return
                yield key, value
