"""Figures of organizations: the busiest and those nearest to a quota, and never more of them than were asked for."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC
from pathlib import Path

import pytest
from anyio import wait_all_tasks_blocked

from gateway.core.principal import UNLIMITED, AccountLimits
from gateway.limits.calendar import Calendar
from gateway.limits.figures import LOOK_SECS, LOOKS_PER_QUOTA, OrganizationFigures, Terms, spelled
from gateway.store.accounts import Claim, Reservation, Will
from gateway.store.errors import StoreUnavailableError
from gateway.store.factory import open_store
from gateway.store.memory import MemoryStore
from gateway.store.protocol import KeyCounts, LimiterStore
from gateway.store.settings import StoreSettings
from tests.core.hand_time import HandTime
from tests.observability.noted import CountedMetrics
from tests.store.conftest import directory as directory  # noqa: PLC0414 -- a fixture

pytestmark = pytest.mark.anyio

QUOTAS = AccountLimits(tokens_per_day=1000, requests_per_month=100, requests_per_minute=60)
NO_WILL = Will(0, b"")


class Restless(HandTime):
    """Time that stands, and in which nobody waits."""

    async def sleep(self, seconds: float) -> None:
        del seconds


class Ward:
    """Figures of a store that a test fills."""

    def __init__(self, store: LimiterStore, time: HandTime, most: int = 3) -> None:
        self.store = store
        self.metrics = CountedMetrics()
        self.own: Mapping[str, AccountLimits] | None = {}
        self._time = time
        self._calendar = Calendar(UTC)
        terms = Terms(most, 120, 240, QUOTAS, lambda: self.own)
        self.figures = OrganizationFigures(store, terms, self._calendar, self.metrics, time)

    async def look(self) -> None:
        await self.figures.look(quotas=True)

    def of(self, family: str) -> dict[tuple[str, ...], float]:
        """What is shown of a family, by its labels."""
        return {tuple(labels): value for (name, *labels), value in self._all() if name == f"gateway_{family}"}

    async def use(self, organization: str, tokens: int, limits: AccountLimits = UNLIMITED) -> Reservation:
        windows = self._calendar.at(self._time.wall()).windows
        claims = [Claim(organization, limits)]
        return await self.store.accounts.reserve(claims, tokens=tokens, windows=windows, will=NO_WILL)

    async def hold(self, organization: str, slots: int = 1) -> None:
        for _ in range(slots):
            await self.store.acquire(organization, limit=1000, max_queued=0, patience=0)

    def _all(self) -> list[tuple[tuple[str, ...], float]]:
        return [((one.family, *one.labels), one.values[0]) for one in self.metrics.series()]


@pytest.fixture
async def ward() -> AsyncIterator[Ward]:
    time = Restless()
    store = MemoryStore(StoreSettings(), time)
    await store.open()
    yield Ward(store, time)
    await store.close()


async def test_the_busiest_are_shown_by_name_and_the_rest_together(ward: Ward) -> None:
    for number in range(6):
        await ward.hold(f"org:{number}", 10 * (number + 1))
    await ward.look()
    in_flight = {("org:5",): 60, ("org:4",): 50, ("org:3",): 40, ("other",): 60}
    assert ward.of("organization_in_flight") == in_flight
    assert ward.of("organization_queued") == dict.fromkeys(in_flight, 0)
    assert ward.of("slots_held") == {(): 210}


async def test_who_has_nothing_any_more_is_gone_and_another_has_its_place(ward: Ward) -> None:
    grant = await ward.store.acquire("org:a", limit=2, max_queued=0, patience=0)
    await ward.look()
    ward.store.release(grant)
    await ward.hold("org:b", 2)
    await ward.look()
    assert ward.of("organization_in_flight") == {("org:b",): 2, ("other",): 0}


async def test_slots_of_keys_are_no_organizations_and_not_counted_twice(ward: Ward) -> None:
    await ward.hold("key:7f3a")
    await ward.hold("org:acme")
    await ward.look()
    assert ward.of("organization_in_flight") == {("org:acme",): 1, ("other",): 0}
    assert ward.of("slots_held") == {(): 1}


async def test_the_limits_of_who_is_shown_are_its_own_or_everybodys(ward: Ward) -> None:
    ward.own = {"org:acme": AccountLimits(tokens_per_month=7)}
    await ward.hold("org:acme")
    await ward.hold("ip:192.0.2.7")
    await ward.look()
    limits = ward.of("organization_limit")
    of_acme = {limit: value for (organization, limit), value in limits.items() if organization == "org:acme"}
    assert of_acme == {"in_flight": 120, "queued": 240, "tokens_per_month": 7}
    assert limits["ip:192.0.2.7", "tokens_per_day"] == 1000
    assert limits["ip:192.0.2.7", "requests_per_minute"] == 60


async def test_shares_of_quotas_are_those_of_who_is_nearest_to_the_end_of_one(ward: Ward) -> None:
    ward.own = {"org:small": AccountLimits(tokens_per_day=100)}
    for organization, tokens in {"org:a": 400, "org:b": 100, "org:c": 300, "org:small": 50, "key:1": 999}.items():
        await ward.use(organization, tokens)
    await ward.look()
    assert ward.of("organization_quota_used_ratio") == {
        ("org:small", "tokens_per_day"): 0.5,
        ("org:a", "tokens_per_day"): 0.4,
        ("org:a", "requests_per_month"): 0.01,
        ("org:c", "tokens_per_day"): 0.3,
        ("org:c", "requests_per_month"): 0.01,
    }


async def test_before_the_limits_of_organizations_are_known_no_share_is_said(ward: Ward) -> None:
    await ward.use("org:a", 400)
    await ward.hold("org:a")
    ward.own = None
    await ward.look()
    assert ward.of("organization_quota_used_ratio") == {}
    assert ward.of("organization_in_flight")["org:a",] == 1
    assert {limit for _, limit in ward.of("organization_limit")} == {"in_flight", "queued"}


async def test_what_was_settled_is_the_share(ward: Ward) -> None:
    reservation = await ward.use("org:a", 400)
    ward.store.accounts.settle(reservation, requests=1, tokens=100, record=None)
    await ward.look()
    assert ward.of("organization_quota_used_ratio")["org:a", "tokens_per_day"] == 0.1


async def test_what_workers_hold_for_their_next_requests_is_not_shown_as_used(directory: Path) -> None:
    time = Restless()
    store = open_store(StoreSettings(limiter_path=directory, max_tracked_organizations=100), time)
    await store.open()
    ward = Ward(store, time)
    far = AccountLimits(tokens_per_day=100_000)
    ward.own = {"org:a": far}
    for _ in range(2):  # from the second on, some are held
        await ward.use("org:a", 10, far)
    await ward.look()
    assert ward.of("organization_quota_used_ratio")["org:a", "tokens_per_day"] == 20 / 100_000
    await store.close()


async def test_ten_thousand_organizations_are_as_many_series_as_a_few(ward: Ward) -> None:
    for number in range(10_000):
        await ward.use(f"ip:10.0.{number // 256}.{number % 256}", 1)
        await ward.hold(f"ip:10.0.{number // 256}.{number % 256}")
        if not number % 1000:
            await ward.look()
    await ward.look()
    assert len(ward.of("organization_in_flight")) == 4
    assert len(ward.of("organization_limit")) == 3 * 5
    assert len(ward.of("organization_quota_used_ratio")) == 3 * 2
    assert ward.of("organization_in_flight")["other",] == 9997


async def test_with_none_to_be_shown_only_the_sum_is() -> None:
    time = Restless()
    ward = Ward(MemoryStore(StoreSettings(), time), time, most=0)
    await ward.store.open()
    await ward.hold("org:a", 2)
    await ward.use("org:a", 400)
    await ward.look()
    assert ward.of("slots_held") == {(): 2}
    assert not any(family.startswith("gateway_organization") for family, *_ in ward.metrics.counted)
    await ward.store.close()


async def test_as_many_as_may_be_shown_with_the_longest_names_find_room() -> None:
    time = Restless()
    ward = Ward(MemoryStore(StoreSettings(), time), time, most=50)
    await ward.store.open()
    ward.own = {f"org:{number:066}": AccountLimits(10, 10, 10, 10, 10, 10) for number in range(50)}
    for name in list(ward.own):
        await ward.use(spelled(name), 1)
        await ward.hold(spelled(name))
    await ward.look()
    assert len(ward.of("organization_quota_used_ratio")) == 50 * 4
    assert len(ward.of("organization_limit")) == 50 * 8
    assert ward.metrics.counted.get(("gateway_metric_updates_lost",)) is None
    await ward.store.close()


class Failing(MemoryStore):
    """A store that can be made to fail."""

    fails = False

    async def lines(self) -> list[KeyCounts]:
        if self.fails:
            raise StoreUnavailableError("It cannot be read.")
        return await super().lines()


async def test_what_cannot_be_read_is_not_shown_and_is_shown_again_later(caplog: pytest.LogCaptureFixture) -> None:
    time = Restless()
    store = Failing(StoreSettings(), time)
    await store.open()
    ward = Ward(store, time)
    await ward.hold("org:a")
    await ward.look()
    store.fails = True
    for _ in range(3):
        await ward.look()
    assert ward.of("organization_in_flight") == {}
    assert [record.msg for record in caplog.records] == ["organizations_not_shown"]
    store.fails = False
    await ward.look()
    assert ward.of("organization_in_flight")["org:a",] == 1
    await store.close()


async def test_it_looks_each_second_at_who_runs_and_at_quotas_four_times_a_minute_and_ends_with_nothing() -> None:
    time = HandTime()
    store = MemoryStore(StoreSettings(), time)
    await store.open()
    ward = Ward(store, time)
    ward.own = None
    running = asyncio.create_task(ward.figures.run())
    await ward.use("org:a", 400)
    await ward.hold("org:a")
    await pass_a_second(time)
    assert ward.of("organization_in_flight")["org:a",] == 1
    ward.own = {}
    await pass_a_second(time)
    assert ward.of("organization_quota_used_ratio")["org:a", "tokens_per_day"] == 0.4
    await ward.use("org:a", 400)
    for _ in range(LOOKS_PER_QUOTA - 3):
        await pass_a_second(time)
    assert ward.of("organization_quota_used_ratio")["org:a", "tokens_per_day"] == 0.4
    await pass_a_second(time)
    assert ward.of("organization_quota_used_ratio")["org:a", "tokens_per_day"] == 0.8
    running.cancel()
    await asyncio.wait([running])
    assert ward.of("organization_in_flight") == {}
    assert ward.of("slots_held") == {(): 0}
    await store.close()


async def pass_a_second(time: HandTime) -> None:
    """Until the next look is over."""
    await wait_all_tasks_blocked()
    time.advance(LOOK_SECS)
    await wait_all_tasks_blocked()
