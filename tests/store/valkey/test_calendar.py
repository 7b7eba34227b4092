"""Hosts count in the server's days, whatever their own clocks say: no quota begins anew between them."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint
from pydantic import SecretStr

from gateway.core.clock import SystemClock
from gateway.core.principal import UNLIMITED, AccountLimits
from gateway.limits.calendar import Calendar
from gateway.store.accounts import Claim, OverLimitError, Reservation, Will, Windows, windows_in_utc
from gateway.store.choices import StoreKind
from gateway.store.errors import StoreUnavailableError
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings
from gateway.store.valkey.scripts import CALENDAR
from gateway.store.valkey.store import ValkeyStore
from tests.store.valkey.server import Server, folder_of_its_own, program
from tests.support.wall import Wall

pytestmark = pytest.mark.anyio

WHO = "org:acme"
DAY_SECS = 86_400.0
FIRST_DAY = date(2026, 1, 1)
TODAY = date(2026, 11, 18)
"""At the server, when a test begins: neither a month's first day nor its last."""
LIMIT = 6


class Clocks(SystemClock):
    """A host's clocks, of which the time of day is so many days off the server's."""

    def __init__(self, days: float) -> None:
        self._ahead = at(noon()) + days * DAY_SECS - SystemClock().wall()

    def wall(self) -> float:
        return SystemClock().wall() + self._ahead


class Host:
    """A gateway's worker on a host of its own, and its days where quotas are counted."""

    def __init__(self, server: Server, directory: Path, days: float, zone: tzinfo) -> None:
        settings = StoreSettings(
            limiter_store=StoreKind.MEMORY,
            limiter_path=directory,
            redis_url=SecretStr(server.url),
            redis_timeout_ms=1000,
        )
        clock = Clocks(days)
        self.calendar = Calendar(zone)
        local = MemoryStore(settings, clock)
        self.store = ValkeyStore(settings, clock, local, windows_at=self.calendar.windows_at)
        self.granted: Counter[int] = Counter()
        """Requests by the day in which they were counted."""

    @property
    def windows(self) -> Windows:
        """Those of now, as this host tells them."""
        return self.calendar.windows_at(self.store.accounts.wall())

    async def reserve(self, limits: AccountLimits = UNLIMITED) -> Reservation:
        claims = [Claim(WHO, limits)]
        return await self.store.accounts.reserve(claims, tokens=10, windows=self.windows, will=Will(0, b""))

    async def ran(self, limits: AccountLimits = UNLIMITED) -> bool:
        """Whether one more request fits."""
        try:
            held = await self.reserve(limits)
        except OverLimitError:
            return False
        self.granted[held.windows[0].day] += 1
        self.store.accounts.settle(held, requests=1, tokens=10, record=None)
        return True

    async def used(self, figure: str = "day_requests") -> int:
        return int(getattr(await self.store.accounts.standing(WHO, self.windows), figure))


def at(moment: datetime) -> float:
    return moment.timestamp()


def noon() -> datetime:
    return datetime.combine(TODAY, time(12), UTC)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await checkpoint()


async def until_shared(*hosts: Host) -> None:
    async def shared() -> bool:
        return not any(host.store.degraded for host in hosts)

    await until(shared)


@pytest.fixture(scope="module")
def wall() -> Iterator[Wall]:
    """The server's."""
    with folder_of_its_own() as folder:
        yield Wall(folder / "wall")


@pytest.fixture(scope="module")
def running_server(wall: Wall) -> Iterator[Server]:
    with folder_of_its_own() as folder:
        server = Server(folder, command=wall.command(program()))
        yield server
        server.stop()


@pytest.fixture
def server(running_server: Server, wall: Wall) -> Server:
    """At which it is noon, and which knows nothing."""
    wall.set(noon())
    running_server.ask("FLUSHALL")
    return running_server


OpenHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def open_host(server: Server, directory: Path) -> AsyncIterator[OpenHost]:
    """Opens a host whose clock is so many days off; `same` as another of that number."""
    numbers = itertools.count()
    async with AsyncExitStack() as stack:

        async def opened(days: float, zone: tzinfo = UTC, same: int | None = None) -> Host:
            host = Host(server, directory / str(next(numbers) if same is None else same), days, zone)
            await host.store.open()
            stack.push_async_callback(host.store.close)
            return host

        yield opened


@pytest.mark.parametrize("days", [-400, -40, -5, -1, 0, 0.9, 1, 5, 40, 400])
@pytest.mark.parametrize("window", ["day", "month"])
@pytest.mark.parametrize("first", [0, 1])
async def test_a_quota_is_granted_once_however_far_apart_two_hosts_clocks_are(
    open_host: OpenHost, days: float, window: str, first: int
) -> None:
    limits = AccountLimits(**{f"requests_per_{window}": LIMIT})
    right, wrong = [await open_host(0), await open_host(days)]
    order = [right, wrong][:: -1 if first else 1]
    assert [await order[0].ran(limits) for _ in range(LIMIT + 1)] == [True] * LIMIT + [False]
    assert [await host.ran(limits) for _ in range(3) for host in order[::-1]] == [False] * 6
    assert order[0].granted == {TODAY.toordinal(): LIMIT}
    assert [await host.used(f"{window}_requests") for host in order] == [LIMIT] * 2


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))], ids=str)
@pytest.mark.parametrize("window", ["day", "month"])
async def test_a_quota_renews_once_for_all_hosts_when_it_is_midnight_at_the_server(
    open_host: OpenHost, wall: Wall, zone: tzinfo, window: str
) -> None:
    tomorrow = datetime(2026, 12, 1, tzinfo=zone)  # and another month
    wall.set(tomorrow - timedelta(seconds=3))
    limits = AccountLimits(**{f"requests_per_{window}": LIMIT})
    hosts = [await open_host(days, zone) for days in (0, 5, -5)]
    before, after = tomorrow.toordinal() - 1, tomorrow.toordinal()

    async def renewed() -> bool:
        ran = [await host.ran(limits) for host in hosts]
        return any(ran) and any(host.granted[after] for host in hosts)

    await until(renewed)
    assert not all([await host.ran(limits) for host in hosts for _ in range(LIMIT)])
    assert not any([await host.ran(limits) for host in hosts])
    granted = sum((host.granted for host in hosts), Counter[int]())
    assert granted.keys() <= {before, after}
    assert granted[before] <= LIMIT  # fewer, where three seconds were not enough for them
    assert granted[after] == LIMIT


async def test_a_servers_clock_that_is_set_renews_a_quota_once_and_not_when_it_is_set_back(
    open_host: OpenHost, wall: Wall
) -> None:
    limits = AccountLimits(requests_per_day=LIMIT)
    hosts = [await open_host(days) for days in (0, 5)]

    async def exhausted(day: date) -> Counter[int]:
        """What all have granted, once each of them has learned the day and has nothing left."""

        async def nothing_left() -> bool:
            ran = [await host.ran(limits) for host in hosts]
            known = all(host.windows.day == day.toordinal() and not host.store.degraded for host in hosts)
            return known and not any(ran)

        await until(nothing_left)
        return sum((host.granted for host in hosts), Counter[int]())

    assert await exhausted(TODAY) == {TODAY.toordinal(): LIMIT}
    later = TODAY + timedelta(5)
    wall.set(noon() + timedelta(5))
    both = {TODAY.toordinal(): LIMIT, later.toordinal(): LIMIT}
    assert await exhausted(later) == both
    wall.set(noon())
    assert await exhausted(TODAY) == both
    assert not any(host.store.outages for host in hosts)


async def test_the_first_request_after_a_servers_clock_was_set_counts_in_its_day_already(
    open_host: OpenHost, wall: Wall
) -> None:
    host = await open_host(0)
    for days in (5, -5):
        wall.set(noon() + timedelta(days))
        assert (await host.reserve()).windows[0].day == TODAY.toordinal() + days


async def test_a_servers_clock_that_is_set_is_followed_by_whoever_asks_it_nothing(
    open_host: OpenHost, wall: Wall
) -> None:
    host = await open_host(0)
    wall.set(noon() + timedelta(5))

    async def has_its_day() -> bool:
        return host.windows.day == TODAY.toordinal() + 5

    await until(has_its_day)


async def test_the_first_look_after_a_servers_clock_was_set_is_at_its_day(open_host: OpenHost, wall: Wall) -> None:
    host = await open_host(0)
    assert await host.ran()
    assert await host.used() == 1
    wall.set(noon() + timedelta(5))
    assert await host.used() == 0


@pytest.mark.parametrize("days", [-400, -5, -1, 1, 5, 400])
async def test_what_a_host_with_a_wrong_clock_used_before_it_saw_the_server_counts_in_the_day_that_there_is(
    server: Server, open_host: OpenHost, days: float
) -> None:
    right = await open_host(0, same=0)
    assert await right.ran()
    earlier = await open_host(0, same=1)  # so that this host knows the epoch
    await earlier.store.close()
    server.send(signal.SIGSTOP)
    try:
        wrong = await open_host(days, same=1)
        held = await wrong.reserve()
        assert [await wrong.ran() for _ in range(2)] == [True] * 2
        assert wrong.granted == {TODAY.toordinal() + days: 2}
    finally:
        server.send(signal.SIGCONT)
    await until_shared(right, wrong)
    assert [await host.used() for host in (right, wrong)] == [1 + 2 + 1] * 2
    wrong.store.accounts.settle(held, requests=1, tokens=7, record=None)
    assert await wrong.used("day_tokens") == 30 + 7  # which has told the server
    assert await right.used("day_tokens") == 30 + 7
    limits = AccountLimits(requests_per_day=4)
    assert not any([await host.ran(limits) for host in (right, wrong)])


async def test_the_ledgers_sums_of_another_day_are_asked_for_again(open_host: OpenHost, wall: Wall) -> None:
    one, other = [await open_host(0) for _ in range(2)]
    assert await one.ran()
    ahead = windows_in_utc(at(noon()) + 5 * DAY_SECS)
    with pytest.raises(StoreUnavailableError, match="another day"):
        await other.store.accounts.restore(WHO, ahead, (1, 10), (1, 10))
    wall.set(noon() + timedelta(5))
    with pytest.raises(StoreUnavailableError, match="another day"):
        await other.store.accounts.restore(WHO, windows_in_utc(at(noon())), (1, 10), (1, 10))
    assert other.windows == ahead, "as it has learned by that"
    assert await one.ran()
    await other.store.accounts.restore(WHO, other.windows, (3, 30), (4, 40))
    assert [await one.used(figure) for figure in ("day_requests", "month_requests")] == [1 + 3, 2 + 4]


def test_days_are_those_of_now_as_far_as_a_place_may_have_them(server: Server) -> None:
    now = f"local function now() return {(TODAY - FIRST_DAY).days * 86400 + 86399.9} end "
    script = "return is_day_of_now({tonumber(ARGV[1]), 1}) and 1 or 0"
    said = [
        server.ask("EVAL", now + CALENDAR + script, "0", str(TODAY.toordinal() + days)) for days in (-2, -1, 0, 1, 2)
    ]
    assert said == [0, 1, 1, 1, 0]
