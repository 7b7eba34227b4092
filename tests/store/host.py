"""How do several workers stand in one process? Stores on one environment, without ticks but those that a test gives."""

from pathlib import Path
from typing import cast

import pytest

from gateway.core.clock import Clock
from gateway.store import environment
from gateway.store.choices import StoreKind
from gateway.store.lmdb import LmdbStore
from gateway.store.settings import StoreSettings
from gateway.store.tree import Environment, Tree


class Shared:
    """One environment for several stores of this process: LMDB opens a file once in each."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def begin(self, db: None, parent: None, write: bool, /) -> Tree:  # noqa: FBT001 -- see Environment.begin
        return self.environment.begin(db, parent, write)

    def close(self) -> None:
        """Left to the host."""


class Host:
    """Workers on one directory; whoever is woken was rung, or somebody was told to look."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._settings = StoreSettings(
            limiter_store=StoreKind.LMDB, limiter_path=directory, max_tracked_organizations=100, journal_bytes=2**18
        )
        self._clock = clock
        self._opened: list[Environment] = []
        self._open_environment = environment.open_environment
        self.workers: list[LmdbStore] = []

    async def open_worker(self) -> LmdbStore:
        """One more worker."""
        worker = LmdbStore(self._settings, self._clock)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(environment, "open_environment", self.share)
            await worker.open()
        worker._timer.cancel()
        self.workers.append(worker)
        return worker

    def crash(self, worker: LmdbStore) -> None:
        """Let a worker end without a word, as a killed process does: its socket is closed, its records stay."""
        worker._desk.closed = True
        worker._desk._doorbell.close()
        self.workers.remove(worker)

    def look_round(self) -> None:
        """Let every worker do what it does once a tick."""
        for worker in self.workers:
            worker._tick()
            worker._timer.cancel()

    async def close(self) -> None:
        """Let all workers leave."""
        for worker in self.workers:
            await worker.close()
        self._opened[0].close()

    def share(self, directory: Path, room: environment.Room, *, alone: bool) -> Shared:
        """The one environment, in the place of `environment.open_environment`."""
        if not self._opened:
            self._opened.append(cast("Environment", self._open_environment(directory, room, alone=alone)))
        return Shared(self._opened[0])
