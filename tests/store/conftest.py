"""What do the store's tests share? Directories on tmpfs, a clock moved by hand, and all stores."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import lmdb
import pytest
from anyio.lowlevel import checkpoint
from pydantic import SecretStr

from gateway.core.clock import SystemClock
from gateway.store.choices import StoreKind
from gateway.store.factory import open_store
from gateway.store.protocol import LimiterStore, StoreCounts
from gateway.store.settings import StoreSettings, default_path
from gateway.store.tree import Environment, Tree
from gateway.store.valkey import scripts
from gateway.store.valkey.store import ValkeyStore
from tests.store.valkey.server import Server, running, running_image


class HandClock(SystemClock):
    """A monotonic clock that stands still until it is moved; its wall clock is anything."""

    def __init__(self) -> None:
        self._now = 1_000_000.0
        self.wall_now = 0.0
        self.on_moved: Callable[[float], object] = float

    @property
    def now(self) -> float:
        return self._now

    @now.setter
    def now(self, seconds: float) -> None:
        self._now = seconds
        self.on_moved(seconds)

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self.wall_now


class Waits(HandClock):
    """One that whoever sleeps moves, while others hear what they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        for _ in range(20):
            await checkpoint()
        self.now += seconds


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


VALKEY = "valkey"
"""The store of several hosts, beside those of one."""
VALKEY_IMAGE = "valkey image"
"""The same on Valkey itself, where the system has Redis."""


@pytest.fixture(scope="session")
def one_server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def one_container() -> Iterator[Server]:
    with running_image() as server:
        yield server


@pytest.fixture(params=[*StoreKind, VALKEY, VALKEY_IMAGE])
def settings(
    request: pytest.FixtureRequest, directory: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> StoreSettings:
    if request.param not in {VALKEY, VALKEY_IMAGE}:
        return StoreSettings(
            limiter_store=request.param, limiter_path=directory, max_tracked_organizations=1000, journal_bytes=2**16
        )
    server: Server = request.getfixturevalue("one_server" if request.param == VALKEY else "one_container")
    tell_time_by(clock, server, monkeypatch)
    return StoreSettings(
        limiter_store=StoreKind.MEMORY,
        limiter_path=directory,
        redis_url=SecretStr(server.url),
        redis_timeout_ms=1000,  # what a busy machine holds up is no outage
    )


def tell_time_by(clock: HandClock, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server without any records tell its scripts what the clock says; it takes any day."""
    server.ask("FLUSHALL")
    monkeypatch.setattr(scripts, "CLOCK", "local function now() return tonumber(redis.call('GET', 'now')) end\n")
    monkeypatch.setattr(scripts, "CALENDAR", "local function is_day_of_now() return true end\n")
    clock.on_moved = lambda now: server.ask("SET", "now", repr(now))
    clock.on_moved(clock.now)


async def counted(store: LimiterStore) -> StoreCounts:
    """What is taken and waited for now, after all that the store was told before."""
    if isinstance(store, ValkeyStore):
        await store.refresh()
    return store.counts()


@pytest.fixture
async def store(settings: StoreSettings, clock: HandClock) -> AsyncIterator[LimiterStore]:
    opened = open_store(settings, clock)
    await opened.open()
    yield opened
    await opened.close()
