"""Who shares it? One map of bytes for the workers of a host, or for one process alone."""

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple, cast

import lmdb

from gateway.cache import flights
from gateway.cache.records import LAYOUT
from gateway.core.errors import UnavailableError
from gateway.store import environment
from gateway.store.doorbell import Doorbell
from gateway.store.tree import Environment, Tree

SLACK_BYTES = 8 * 1024 * 1024
"""For records in flight, and what those who are told a failure have not read yet."""

PREFIX = "cache-"

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class CacheUnavailableError(Exception):
    """The map cannot be opened, or not be written now; nothing of the decision was done."""


class Host(Protocol):
    """The map, and the workers that share it.

    Attributes:
        worker: this one's number.
    """

    worker: int

    def open(self, on_ring: Callable[[int], None]) -> None:
        """Join; `on_ring` is called with the number of a request that is to look. Raises CacheUnavailableError."""
        ...

    def close(self) -> None:
        """Leave."""
        ...

    def decide(self, decision: Callable[[Tree, *Ts], T], *args: *Ts) -> T:
        """Run one decision as one transaction. Raises CacheUnavailableError."""
        ...

    def ring(self, worker: int, tokens: Sequence[int]) -> None:
        """Have requests of another worker look."""
        ...

    def dead(self) -> list[int]:
        """The other workers that have ended without leaving."""
        ...

    def bury(self, worker: int) -> None:
        """What a dead worker led is led by others: remove what else is left of it."""
        ...


def map_bytes(size: int) -> int:
    """Of the file for so many bytes of answers.

    Long values need pages side by side, which are hard to find in a map that is nearly full.
    """
    return -(-(size + size // 2 + SLACK_BYTES) // environment.PAGES_BYTES) * environment.PAGES_BYTES


class _Mapped:
    """An open map."""

    _env: Environment

    def decide(self, decision: Callable[[Tree, *Ts], T], *args: *Ts) -> T:
        """Run one decision as one write transaction, also where it only reads: see `store.desk.Desk.decide`."""
        try:
            tree = self._env.begin(None, None, True)  # noqa: FBT003 -- see Environment.begin
            try:
                result = decision(tree, *args)
            except BaseException:
                tree.abort()
                raise
            tree.commit()
        except lmdb.Error as error:
            raise CacheUnavailableError(str(error)) from error
        else:
            return result


class SharedHost(_Mapped):
    """The workers of one host, on a directory of their own: those with another size or layout have another one.

    Args:
        parent: the directory on tmpfs in which the cache's own stands.
        size: bytes of answers.
    """

    def __init__(self, parent: Path, size: int) -> None:
        self._parent = parent
        self._directory = parent / f"{PREFIX}{LAYOUT}-{size:x}"
        self._size = map_bytes(size)
        self.worker = 0

    def open(self, on_ring: Callable[[int], None]) -> None:
        """Join the others, and remove what a gateway of another size left that nobody uses any more."""
        try:
            for other in self._parent.glob(f"{PREFIX}*"):
                if other != self._directory:
                    with environment.entered(other) as alone:
                        if alone:
                            environment.wipe(other)
            with environment.entered(self._directory) as alone:
                if alone:
                    environment.wipe(self._directory)
                self._env = cast("Environment", environment.opened(self._directory, self._size))
                self.worker = self.decide(flights.join)
                self._doorbell = Doorbell(self._directory, self.worker, on_ring)
        except (UnavailableError, lmdb.Error, OSError) as error:
            raise CacheUnavailableError(str(error)) from error

    def close(self) -> None:
        """Leave; nothing of this worker is in the map any more but its number."""
        with contextlib.suppress(UnavailableError), environment.entered(self._directory):
            self._env.close()
            self._doorbell.remove(self.worker)
            self._doorbell.close()

    def ring(self, worker: int, tokens: Sequence[int]) -> None:
        """Have requests of another worker look."""
        self._doorbell.ring(worker, tokens)

    def dead(self) -> list[int]:
        """Those whose sockets the kernel refuses."""
        workers = self.decide(flights.workers)
        return [worker for worker in workers if worker != self.worker and self._doorbell.is_dead(worker)]

    def bury(self, worker: int) -> None:
        """Remove what is left of a dead one."""
        self._doorbell.remove(worker)


class LoneHost(_Mapped):
    """One process alone: a file without a name, which is gone with it however it ends."""

    def __init__(self, size: int) -> None:
        self._size = map_bytes(size)
        self.worker = 0

    def open(self, on_ring: Callable[[int], None]) -> None:
        """Map the file."""
        del on_ring
        try:
            file = os.memfd_create("gateway-cache", os.MFD_CLOEXEC)
            try:
                opened = lmdb.open(
                    f"/proc/self/fd/{file}",
                    subdir=False,
                    map_size=self._size,
                    sync=False,
                    metasync=False,
                    writemap=True,
                    max_dbs=0,
                    lock=False,
                )
                os.posix_fallocate(file, 0, self._size)
            finally:
                os.close(file)
            self._env = cast("Environment", opened)
            self.worker = self.decide(flights.join)
        except (lmdb.Error, OSError) as error:
            raise CacheUnavailableError(str(error)) from error

    def close(self) -> None:
        """Give the memory back."""
        self._env.close()

    def ring(self, worker: int, tokens: Sequence[int]) -> None:
        """There is nobody else."""

    def dead(self) -> list[int]:
        """There is nobody else."""
        return []

    def bury(self, worker: int) -> None:
        """There is nobody else."""
