"""What do the store's tests share? Directories on tmpfs, a clock moved by hand, and both stores."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import lmdb
import pytest

from gateway.core.clock import SystemClock
from gateway.store.factory import open_store
from gateway.store.protocol import LimiterStore
from gateway.store.settings import StoreKind, StoreSettings, default_path
from gateway.store.tree import Environment, Tree


class HandClock(SystemClock):
    """A monotonic clock that stands still until it is moved; its wall clock is anything."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.wall_now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.wall_now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short enough for a unix socket, which pytest's own directories are not."""
    path = Path(tempfile.mkdtemp(prefix="gw-", dir=default_path().parent))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def tree(directory: Path) -> Iterator[Tree]:
    """One transaction, in which every decision sees what the ones before it did."""
    with lmdb.open(str(directory), map_size=2**20, sync=False) as environment:
        tree = cast("Environment", environment).begin(None, None, True)  # noqa: FBT003 -- see Environment.begin
        yield tree
        tree.abort()


@pytest.fixture(params=list(StoreKind))
def settings(request: pytest.FixtureRequest, directory: Path) -> StoreSettings:
    return StoreSettings(limiter_store=request.param, limiter_path=directory, max_tracked_organizations=1000)


@pytest.fixture
async def store(settings: StoreSettings, clock: HandClock) -> AsyncIterator[LimiterStore]:
    opened = open_store(settings, clock)
    await opened.open()
    yield opened
    await opened.close()
