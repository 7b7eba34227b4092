"""What operators see of the running gateway is what other processes have written into the shared memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.live import Load
from gateway.backends.board import Board, create_board
from gateway.backends.health import BackendHealth, State
from gateway.backends.reasons import Reason
from gateway.cache.host import SharedHost
from gateway.core.clock import SystemClock
from gateway.core.errors import UnavailableError
from gateway.core.principal import UNLIMITED, AccountLimits
from gateway.fleet.merge import static_roster
from gateway.limits.calendar import Calendar, zone_of
from gateway.observability.metrics import Metrics
from gateway.oversight import Oversight
from gateway.settings import Settings, load
from gateway.store.factory import open_store
from tests.store.conftest import directory as directory  # noqa: PLC0414 -- a fixture
from tests.store.racing import ORGANIZATION, crew, until_figures
from tests.store.spending import COST, ESTIMATE, TODAY, spenders

pytestmark = pytest.mark.anyio

DAY = date.fromordinal(TODAY.day)
BERLIN = zone_of("Europe/Berlin")


class Today(SystemClock):
    """Half past eleven at night in London on the day of which the spenders say that it is today."""

    def wall(self) -> float:
        return datetime(DAY.year, DAY.month, DAY.day, 23, 30, tzinfo=UTC).timestamp()


def settings(directory: Path, **fields: object) -> Settings:
    """Those of a host whose workers are `crew` or `spenders`."""
    required = {"gateway_api_key": "sk-gateway-19fe", "backend_api_key": "sk-backends-4f2a"}
    host = {"limiter_path": directory, "max_tracked_organizations": 1000, "journal_bytes": 2**20}
    return load(None, **{**required, "chat_backends": "http://chat0:8000,http://chat1:8000", **host, **fields})


@asynccontextmanager
async def overseeing(chosen: Settings, board: int | None = None, zone: Any = UTC) -> AsyncIterator[Oversight]:
    """As the control process has it."""
    store = open_store(chosen, Today())
    await store.open()
    try:
        yield Oversight(chosen, store, board, Calendar(zone), Metrics(), Today())
    finally:
        await store.close()


async def test_what_runs_and_waits_in_another_process_is_seen(directory: Path) -> None:
    with crew(directory, 1) as (worker,):
        for _ in range(3):
            worker.do("hold", limit=3)
        worker.start("hold", limit=3)
        until_figures(worker, (3, 1))
        async with overseeing(settings(directory)) as live:
            assert await live.loads() == [Load(ORGANIZATION, 3, 1)]


async def test_limits_stand_as_workers_have_counted_them_and_those_that_are_none_are_left_out(directory: Path) -> None:
    with spenders(directory, 1) as (worker,):
        worker.do("end", token=worker.do("hold"))
        worker.do("hold")
        worker.do("used")  # which writes down what has ended
        async with overseeing(settings(directory)) as live:
            limits = AccountLimits(tokens_per_day=1000, requests_per_day=10)
            windows = {window.field: window for window in await live.standing("org:acme", limits)}
            assert windows.keys() == {"tokens_per_day", "requests_per_day"}
            day = windows["tokens_per_day"]
            assert (day.limit, day.used) == (1000, COST + ESTIMATE)
            assert windows["requests_per_day"].used == 2
            assert day.resets_at == datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp() + 86_400
            assert await live.standing("org:acme", UNLIMITED) == []
            assert [window.used for window in await live.standing("org:nobody", limits)] == [0, 0]


async def test_the_date_is_that_of_the_quotas_time_zone(directory: Path) -> None:
    async with overseeing(settings(directory)) as live, overseeing(settings(directory / "b"), zone=BERLIN) as berlin:
        assert (live.today(), berlin.today()) == (DAY, date.fromordinal(TODAY.day + 1))
        assert live.date_of(live.ordinal(DAY)) == DAY


async def test_a_day_begins_at_midnight_of_the_quotas_time_zone_in_summer_and_in_winter(directory: Path) -> None:
    async with overseeing(settings(directory), zone=BERLIN) as live:
        assert [live.begins(date(2026, month, 1)) % 86_400 / 3600 for month in (1, 7)] == [23, 22]


async def test_backends_are_as_the_prober_says_on_the_board(directory: Path) -> None:
    chosen, descriptor = settings(directory), create_board()
    roster = static_roster(chosen)
    prober = Board([backend for _, backend in roster.backends()], descriptor)
    async with overseeing(chosen, descriptor) as live:
        assert {status.health.reason for status in live.backends()} == {Reason.NOT_PROBED}
        prober.publish("chat1", BackendHealth(State.DOWN, Reason.UNREACHABLE, since=1.0))
        prober.begin(prober.index("chat0"))
        states = {status.backend.name: (status.health.state, status.in_flight) for status in live.backends()}
    assert states == {"chat0": (State.LOADING, 1), "chat1": (State.DOWN, 0)}


def cache_of(chosen: Settings) -> Path:
    """Where answers are kept."""
    return SharedHost(chosen.limiter_path, chosen.cache_max_bytes)._directory


async def test_where_nothing_is_kept_nothing_is_dropped_and_no_file_is_made(directory: Path) -> None:
    chosen = settings(directory, cache_ttl_secs=0)
    async with overseeing(chosen) as live:
        assert await live.flush_cache() == 0
    assert not cache_of(chosen).exists()


async def test_a_cache_that_cannot_be_had_is_unavailable(directory: Path) -> None:
    chosen = settings(directory)
    async with overseeing(chosen) as live:
        cache_of(chosen).write_bytes(b"a file where a folder belongs")
        with pytest.raises(UnavailableError, match="The cache cannot be written now"):
            await live.flush_cache()


async def test_the_defaults_and_what_is_fixed_are_those_of_the_settings(directory: Path) -> None:
    async with overseeing(settings(directory, org_daily_token_limit=77)) as live:
        assert live.defaults().tokens_per_day == 77
        (chat,) = live.fixed()
        assert (chat.group.name, chat.source.split(",")[0]) == ("chat", "CHAT_BACKENDS")
