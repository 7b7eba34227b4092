"""Hosts whose clocks are days apart share one day, the nearest to the server's: no quota begins anew between them."""

from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.core.clock import SystemClock
from gateway.core.months import month_of
from gateway.core.principal import UNLIMITED, AccountLimits
from gateway.store.accounts import Claim, OverLimitError, Will, Windows
from gateway.store.choices import StoreKind
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings
from gateway.store.valkey.scripts import CALENDAR
from gateway.store.valkey.store import ValkeyStore
from tests.store.spending import TODAY
from tests.store.valkey.server import Server, running

pytestmark = pytest.mark.anyio

WHO = "org:acme"
FIRST_DAY = date(2026, 1, 1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
async def hosts(server: Server, directory: Path) -> AsyncIterator[tuple[ValkeyStore, ValkeyStore]]:
    server.ask("FLUSHALL")
    settings = StoreSettings(
        limiter_store=StoreKind.MEMORY,
        limiter_path=directory,
        redis_url=SecretStr(server.url),
        redis_timeout_ms=1000,
    )
    clock = SystemClock()
    one, other = (ValkeyStore(settings, clock, MemoryStore(settings, clock)) for _ in range(2))
    await one.open()
    await other.open()
    yield one, other
    await one.close()
    await other.close()


def off(days: int) -> Windows:
    """The calendar's windows where a clock is wrong by that."""
    day = date.fromordinal(TODAY.day) + timedelta(days)
    return Windows(day.toordinal(), month_of(day))


async def ran(store: ValkeyStore, limits: AccountLimits, windows: Windows) -> bool:
    """Whether one more request fits."""
    try:
        held = await store.accounts.reserve([Claim(WHO, limits)], tokens=10, windows=windows, will=Will(0, b""))
    except OverLimitError:
        return False
    store.accounts.settle(held, requests=1, tokens=10, record=None)
    return True


@pytest.mark.parametrize("days", [-400, -40, -2, -1, 0, 1, 2, 40, 400, 100_000])
@pytest.mark.parametrize("window", ["day", "month"])
async def test_a_quota_is_granted_once_however_far_apart_two_hosts_clocks_are(
    hosts: tuple[ValkeyStore, ValkeyStore], days: int, window: str
) -> None:
    limits = AccountLimits(**{f"requests_per_{window}": 6})
    pairs = sorted(zip((TODAY, off(days)), hosts, strict=True), key=lambda pair: pair[0], reverse=True)
    assert await ran(hosts[0], limits, TODAY)
    asked = [await ran(store, limits, windows) for _ in range(6) for windows, store in pairs]
    assert asked == sorted(asked, reverse=True), "what is used up stays so"
    assert sum(asked) in {5, 6}  # of today or, where the other's is another, of tomorrow
    shown = [await store.accounts.standing(WHO, windows) for windows, store in pairs]
    assert [getattr(at, f"{window}_requests") for at in shown] == [6, 6]


async def test_where_hosts_agree_on_a_day_that_is_not_the_servers_its_clock_may_be_wrong(
    hosts: tuple[ValkeyStore, ValkeyStore],
) -> None:
    limits = AccountLimits(requests_per_day=3)
    for days in (400, 401):
        assert [await ran(store, limits, off(days)) for _ in range(2) for store in hosts] == [True, True, True, False]


async def test_what_a_host_used_without_the_server_is_added_to_the_day_that_there_is(
    hosts: tuple[ValkeyStore, ValkeyStore],
) -> None:
    one, other = hosts
    assert await ran(one, UNLIMITED, TODAY)
    assert await ran(other, UNLIMITED, off(5))
    other._session.close()
    assert await ran(other, UNLIMITED, off(5))
    await other._join(settle=False)
    assert (await one.accounts.standing(WHO, TODAY)).day_requests == 2


async def test_what_runs_at_a_host_with_a_wrong_clock_is_refunded_when_the_server_has_forgotten_it(
    hosts: tuple[ValkeyStore, ValkeyStore],
) -> None:
    one, other = hosts
    assert await ran(one, UNLIMITED, TODAY)
    other._session.close()
    held = await other.accounts.reserve([Claim(WHO, UNLIMITED)], tokens=10, windows=off(5), will=Will(0, b""))
    await other._join(settle=False)
    assert (await one.accounts.standing(WHO, TODAY)).day_tokens == 10
    other.accounts.settle(held, requests=1, tokens=7, record=None)
    await other.accounts.standing(WHO, TODAY)
    assert (await one.accounts.standing(WHO, TODAY)).day_tokens == 7


async def test_the_ledgers_sums_of_another_day_than_the_servers_are_passed_over(
    hosts: tuple[ValkeyStore, ValkeyStore],
) -> None:
    one, other = hosts
    assert await ran(one, UNLIMITED, TODAY)
    await other.accounts.restore(WHO, off(5), (1, 10), (1, 10))
    await one.accounts.restore(WHO, TODAY, (3, 30), (4, 40))
    at = await one.accounts.standing(WHO, TODAY)
    assert (at.day_requests, at.month_requests) == (1 + 3, 1 + 4)


def test_the_server_has_the_days_and_months_of_the_calendar(server: Server) -> None:
    """Over four hundred years, after which it repeats itself."""
    days = range(date(1999, 12, 25).toordinal(), date(2400, 3, 10).toordinal(), 7)
    script = "local months = {} for at, day in ipairs(ARGV) do months[at] = month_of(tonumber(day)) end return months"
    told = server.ask("EVAL", CALENDAR + script, "0", *map(str, days))
    assert told == [month_of(date.fromordinal(day)) for day in days]
    now = f"local function now() return {(date.fromordinal(TODAY.day) - FIRST_DAY).days * 86400 + 86399.9} end "
    script = "local said = plausible({tonumber(ARGV[1]), 1}, tonumber(ARGV[2])) return said[1]"
    near = [(-2, -1), (-1, -1), (0, 0), (1, 1), (2, 1)]
    for counts_in, said in ((-2, {}), (-1, dict(near)), (1, dict(near)), (2, {})):
        for asked, _ in near:
            said_by = str(TODAY.day + asked), str(TODAY.day + counts_in)
            assert server.ask("EVAL", now + CALENDAR + script, "0", *said_by) == TODAY.day + said.get(asked, asked)
