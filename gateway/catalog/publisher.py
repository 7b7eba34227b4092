"""Who writes the catalog? The control process that holds its lock; what it publishes, all workers see at once."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

import lmdb

from gateway.catalog import environments
from gateway.catalog.environments import Environment, Tree
from gateway.catalog.errors import CatalogUnavailableError
from gateway.catalog.head import Head, make_folder, open_head
from gateway.catalog.records import (
    MODELS,
    KeyEntry,
    OrganizationEntry,
    encode,
    key_record,
    opt_out_record,
    organization_record,
    spelled,
)
from gateway.core.clock import Clock
from gateway.core.principal import AccountLimits

FIRST_VERSION_BITS = 48
"""Versions begin anywhere where none is known: a worker may remember something under any number of an earlier head."""


class Changes(NamedTuple):
    """What one transaction writes and removes, by record."""

    put: dict[bytes, bytes]
    removed: list[bytes]


class Publisher:
    """The catalog's write side: one process at a time, from one thread at a time.

    Whatever a publication breaks off at, even a `kill -9`, the last one that was finished stays in force. Nothing
    that an earlier process left is read: a life begins with `replace_all`, until which what was published holds.

    Args:
        folder: of the catalog, made if need be.
        clock: dates the database's answers.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._lock: int | None = None
        self._head: Head | None = None
        self._environment: Environment | None = None

    def open(self) -> bool:
        """Become the one who publishes here; False when another process is. May be asked again.

        Raises:
            CatalogUnavailableError: the folder cannot be used.
        """
        if self._head is not None:
            return True
        try:
            make_folder(self._folder)
            lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CatalogUnavailableError(f"{self._folder} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            head = open_head(self._folder, write=True)
        except BlockingIOError:
            os.close(lock)
            return False
        except BaseException:
            os.close(lock)
            raise
        if not (head.sound and head.version()):
            head.begin()
        self._lock, self._head = lock, head
        return True

    def close(self) -> None:
        """Publish no more; what was published stays, and ages."""
        if self._environment is not None:
            self._environment.close()
        if self._lock is not None:
            os.close(self._lock)
        self._environment = self._head = self._lock = None

    def __enter__(self) -> Self:
        if not self.open():
            raise CatalogUnavailableError(f"another process publishes in {self._folder}")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def beat(self) -> None:
        """The database answered just now."""
        self._opened().beat(self._clock.monotonic())

    def miss(self) -> None:
        """The database was asked and did not answer: nobody needs to wait for what it says."""
        self._opened().miss()

    def replace_all(
        self,
        *,
        keys: Iterable[KeyEntry],
        organizations: Mapping[str, AccountLimits],
        models: bytes,
        opted_out: Iterable[str] = (),
    ) -> int:
        """Publish this and nothing else; the new version. 100,000 keys take about half a second.

        Args:
            keys: all that are in force.
            organizations: all that have limits of their own, by name.
            models: the registry's blob; empty: there is none.
            opted_out: the organizations of whose requests no text may be kept.

        Raises:
            CatalogUnavailableError: there is no room; what was published before stays in force.
        """
        changes = _changes(keys, (), organizations, models, dict.fromkeys(opted_out, True))
        return self._begin_anew(Changes(dict(sorted(changes.put.items())), changes.removed), like=None)

    def publish(
        self,
        *,
        keys: Iterable[KeyEntry] = (),
        removed: Iterable[bytes] = (),
        organizations: Mapping[str, AccountLimits | None] | None = None,
        models: bytes | None = None,
        opted_out: Mapping[str, bool] | None = None,
    ) -> int:
        """Publish changes, all of them or none; the new version.

        When this returns, the next request at any worker goes by it.

        Args:
            keys: those that are new or have changed.
            removed: digests of keys that were revoked, have expired or are gone; one that is unknown is no error.
            organizations: those whose limits have changed, by name; None: its own are gone.
            models: the registry's blob; None: as it was.
            opted_out: whether texts of their requests may not be kept, by the name of organizations that have changed.

        Raises:
            CatalogUnavailableError: there is no room, or `replace_all` has not been called since `open`; what was
                published before stays in force.
        """
        if self._environment is None:
            raise CatalogUnavailableError("a publisher begins with all there is")
        changes = _changes(keys, removed, organizations or {}, models, opted_out or {})
        try:
            self._environment.reader_check()
            _apply(self._environment, changes, append=False)
        except lmdb.MapFullError:
            # Of records, or of pages that a process keeps which was stopped in the very moment of a look-up.
            return self._begin_anew(changes, like=self._environment)
        except lmdb.Error as error:
            raise CatalogUnavailableError(str(error)) from error
        head = self._opened()
        return self._announce(head, head.environment())

    def _begin_anew(self, changes: Changes, like: Environment | None) -> int:
        """Write a new environment, and have everybody read it instead of the one before."""
        head = self._opened()
        number = max((head.environment(), *environments.found(self._folder))) + 1
        with contextlib.ExitStack() as broken_off:
            broken_off.callback(environments.remove, self._folder, [number])
            try:
                environment = environments.create(self._folder, number, like=like)
                broken_off.callback(environment.close)
                _apply(environment, changes, append=like is None)
            except (lmdb.Error, OSError) as error:
                raise CatalogUnavailableError(f"a new environment cannot be written: {error}") from error
            broken_off.pop_all()
        version = self._announce(head, number)
        if self._environment is not None:
            self._environment.close()
        self._environment = environment
        environments.remove(self._folder, [other for other in environments.found(self._folder) if other != number])
        return version

    def _announce(self, head: Head, number: int) -> int:
        version = head.version() + 1 if head.version() else secrets.randbits(FIRST_VERSION_BITS) + 1
        head.announce(number, version)
        return version

    def _opened(self) -> Head:
        if self._head is None:
            raise CatalogUnavailableError(f"the publisher of {self._folder} is not open")
        return self._head


def _changes(
    keys: Iterable[KeyEntry],
    removed: Iterable[bytes],
    organizations: Mapping[str, AccountLimits | None],
    models: bytes | None,
    opted_out: Mapping[str, bool],
) -> Changes:
    """The records of what is to be published; a key that is both new and removed is removed."""
    put = {key_record(entry.digest): encode(entry) for entry in keys}
    gone = [key_record(digest) for digest in removed]
    for name, limits in organizations.items():
        record = organization_record(name)
        if limits is None:
            gone.append(record)
        else:
            put[record] = encode(OrganizationEntry(name, limits))
    for name, out in opted_out.items():
        if out:
            put[opt_out_record(name)] = spelled(name)
        else:
            gone.append(opt_out_record(name))
    if models is not None:
        put[MODELS] = models
    return Changes(put, gone)


def _apply(environment: Environment, changes: Changes, *, append: bool) -> None:
    """One transaction; a failure undoes it."""
    tree: Tree
    with environment.begin(None, None, True) as tree:  # noqa: FBT003 -- LMDB's
        for record, value in changes.put.items():
            tree.put(record, value, append=append)
        for record in changes.removed:
            tree.delete(record)
