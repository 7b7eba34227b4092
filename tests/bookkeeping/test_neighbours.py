"""Two hosts on one database know of each other, and say so where their limits are not one."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from gateway.bookkeeping.neighbours import BEAT_SECS, FORGOTTEN_SECS, PATIENCE_SECS, Neighbours
from gateway.core.clock import SystemClock
from gateway.core.control_wire import SPLIT_NOTICE
from gateway.database.database import Database
from gateway.database.hosts import Host
from gateway.observability.families.family import Family
from gateway.observability.families.hosts import HOSTS, LIMITS_SPLIT
from gateway.observability.metrics import Figure, Metrics

pytestmark = pytest.mark.anyio


class HandClock(SystemClock):
    """A monotonic clock that stands still until it is moved."""

    now = 1000.0

    def __init__(self) -> None:
        self.monotonic: Callable[[], float] = lambda: self.now


class Site:
    """One host's view."""

    def __init__(self, database: Database, name: str, folder: Path, clock: HandClock, *, shared: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.notice = folder / SPLIT_NOTICE
        self.metrics = Metrics()
        self.neighbours = Neighbours(
            database.hosts, lambda: name, shared=shared, folder=folder, metrics=self.metrics, clock=clock
        )

    def figure(self, family: Family) -> float:
        figure = self.metrics.figure(family)
        assert isinstance(figure, Figure)
        return figure._values[figure._slot]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def look(clock: HandClock, *sites: Site) -> None:
    """Some time passes, and each looks."""
    clock.now += BEAT_SECS
    for site in sites:
        await site.neighbours.look()


async def test_a_second_host_is_noticed_by_both_and_forgotten_when_it_is_silent(
    database: Database, tmp_path: Path, clock: HandClock
) -> None:
    one, two = (Site(database, name, tmp_path / name, clock) for name in ("one", "two"))
    await look(clock, one)
    assert one.figure(HOSTS) == 1
    for _ in range(3):
        await look(clock, one, two)
    for site in (one, two):
        assert (site.figure(HOSTS), site.figure(LIMITS_SPLIT)) == (2, 1)
        assert len(orjson.loads(site.notice.read_bytes())) == 1
    await look(clock, one)  # it has not seen the other's last word yet
    clock.now += PATIENCE_SECS
    await look(clock, one)
    assert (one.figure(HOSTS), one.figure(LIMITS_SPLIT)) == (1, 0)
    assert not one.notice.exists()
    clock.now += FORGOTTEN_SECS
    await look(clock, one)
    assert [host.id for host in await database.hosts.beat("three", "")] == ["one"]


async def test_what_one_who_was_killed_has_left_to_say_is_taken_back(
    database: Database, tmp_path: Path, clock: HandClock
) -> None:
    one = Site(database, "one", tmp_path / "one", clock)
    one.notice.write_bytes(b'["gone"]')
    running = asyncio.create_task(one.neighbours.run())
    async with asyncio.timeout(20):
        while one.notice.exists():  # noqa: ASYNC110 -- nothing but the file tells
            await asyncio.sleep(0)  # noqa: TID251 -- as above
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled(), "it did not end by itself"
    assert not one.notice.exists()


async def test_two_hosts_that_share_nothing_are_told_what_doubles_and_how_to_mend_it(
    database: Database, tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = (Site(database, name, tmp_path / name, clock) for name in ("one", "two"))
    for _ in range(3):
        await look(clock, one, two)
    said = [record for record in caplog.records if record.message == "limits_split"]
    assert [record.levelname for record in said] == ["ERROR", "ERROR"]
    assert all("double" in record.why and "REDIS_URL" in record.remedy for record in said)  # type: ignore[attr-defined]  # of `extra`


async def test_what_an_earlier_life_left_is_no_host(database: Database, tmp_path: Path, clock: HandClock) -> None:
    assert await database.hosts.beat("before", "this") == []
    one = Site(database, "one", tmp_path, clock)
    for _ in range(3):
        await look(clock, one)
    assert one.figure(HOSTS) == 1
    assert await database.hosts.beat("one", "this") == [Host("before", "this", 0)]


async def test_hosts_that_share_their_limits_may_be_many(database: Database, tmp_path: Path, clock: HandClock) -> None:
    one, two = (Site(database, name, tmp_path / name, clock, shared=True) for name in ("one", "two"))
    for _ in range(3):
        await look(clock, one, two)
    assert (one.figure(HOSTS), one.figure(LIMITS_SPLIT)) == (2, 0)
    assert not one.notice.exists()
