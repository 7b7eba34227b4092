"""Where do the published records stand? In an LMDB environment that one publisher made and no other ever opens.

LMDB believes what it reads: a page of garbage leads it anywhere in memory. So each life of a publisher begins a new
environment in a folder named by its number, and what an earlier one left is removed unread.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, Self

import lmdb

from gateway.catalog.errors import CatalogUnavailableError

MAP_BYTES = 256 * 2**20
"""Room for a million keys without models of their own. Only what is written takes memory; the rest of the file is a
hole, so that its length tells a file that was cut from one that is whole."""

READERS = 512
"""Processes that may read at once: all workers of two generations."""


class Tree(Protocol):
    """A transaction of `lmdb.Environment.begin`: what is used of it, with values as bytes."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        ...

    def put(self, key: bytes, value: bytes, *, append: bool = False) -> bool:
        """Write a key's value; `append`: it sorts behind all others."""
        ...

    def delete(self, key: bytes) -> bool:
        """Remove a key; False when it was not there."""
        ...

    def abort(self) -> None:
        """End it; for one that reads, all there is to do."""
        ...


class Environment(Protocol):
    """An open `lmdb.Environment`: what is used of it."""

    def begin(self, db: None, parent: None, write: bool, /) -> Tree:  # noqa: FBT001 -- LMDB's; names cost 0.3 us
        """A transaction."""
        ...

    def copy(self, path: str, *, compact: bool) -> None:
        """Write a copy as of now into a folder."""
        ...

    def reader_check(self) -> int:
        """Forget readers whose processes have died; how many."""
        ...

    def close(self) -> None:
        """Unmap it; every later use raises `lmdb.Error`."""
        ...


def folder_of(catalog: Path, number: int) -> Path:
    """Where the environment of that number stands."""
    return catalog / str(number)


def create(catalog: Path, number: int, *, like: Environment | None = None) -> Environment:
    """A new environment to write, with the records of another one or none.

    Nothing is synced to a disk: it need not outlive the host, and what a killed process had written stays in the page
    cache. Pages are written, not mapped: where there is no memory for them that is an error and no SIGBUS.

    Raises:
        lmdb.Error, OSError: it cannot be made.
    """
    folder = folder_of(catalog, number)
    shutil.rmtree(folder, ignore_errors=True)  # of a publisher that was killed over it
    folder.mkdir(mode=0o700)
    if like is not None:
        like.copy(str(folder), compact=True)
    made: Environment = lmdb.open(
        str(folder), map_size=MAP_BYTES, sync=False, metasync=False, max_dbs=0, mode=0o600, max_readers=READERS
    )
    os.truncate(folder / "data.mdb", MAP_BYTES)
    return made


def open_to_read(catalog: Path, number: int) -> Environment:
    """The environment of that number.

    Raises:
        CatalogUnavailableError: it is not there, or not whole.
    """
    folder = folder_of(catalog, number)
    try:
        if (folder / "data.mdb").stat().st_size != MAP_BYTES:
            raise CatalogUnavailableError(f"{folder} is not whole")
        opened: Environment = lmdb.open(str(folder), map_size=MAP_BYTES, readonly=True, create=False, max_dbs=0)
    except (lmdb.Error, OSError) as error:
        raise CatalogUnavailableError(f"{folder} cannot be read: {error}") from error
    return opened


def remove(catalog: Path, numbers: Iterable[int]) -> None:
    """Remove these; whoever has one open keeps what he has."""
    for number in numbers:
        shutil.rmtree(folder_of(catalog, number), ignore_errors=True)


def found(catalog: Path) -> list[int]:
    """The numbers of all environments that lie there, finished or not."""
    with contextlib.suppress(OSError):
        return [int(path.name) for path in catalog.iterdir() if path.name.isdecimal()]
    return []
