"""Accounts count what runs and what ran, and hand each request's record over once, whichever store keeps them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint
from pydantic import SecretStr

from gateway.core.principal import AccountLimits
from gateway.store.accounts import Accounts, Claim, OverLimitError, Reservation, Standing, Will, Windows
from gateway.store.choices import StoreKind
from gateway.store.factory import open_store
from gateway.store.protocol import LimiterStore
from gateway.store.settings import StoreSettings
from gateway.store.valkey.store import ValkeyStore
from tests.store.conftest import VALKEY, VALKEY_IMAGE, HandClock, tell_time_by
from tests.store.valkey.server import Server

pytestmark = pytest.mark.anyio

TODAY = Windows(739_000, 24_300)
TOMORROW = Windows(739_001, 24_300)
NEXT_MONTH = Windows(739_010, 24_301)
YESTERDAY = Windows(738_999, 24_300)

DAILY = Claim("org:acme", AccountLimits(tokens_per_day=1000, requests_per_day=10))
MINUTELY = Claim("key:7", AccountLimits(requests_per_minute=6, tokens_per_minute=600))
FREE = Claim("key:free", AccountLimits())


@pytest.fixture(params=[*StoreKind, VALKEY, VALKEY_IMAGE])
def settings(
    request: pytest.FixtureRequest, directory: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> StoreSettings:
    redis_url = SecretStr("")
    several = request.param in {VALKEY, VALKEY_IMAGE}
    if several:
        server: Server = request.getfixturevalue("one_server" if request.param == VALKEY else "one_container")
        tell_time_by(clock, server, monkeypatch)
        redis_url = SecretStr(server.url)
    return StoreSettings(
        limiter_store=StoreKind.LMDB if several else request.param,
        limiter_path=directory,
        max_tracked_organizations=100,
        journal_bytes=2**16,
        redis_url=redis_url,
        redis_timeout_ms=1000,
    )


bounded = pytest.mark.parametrize("settings", list(StoreKind), indirect=True)
"""A server draws by lot, and spares those of which requests run: tests/store/valkey/test_bounds.py."""


@pytest.fixture
async def store(settings: StoreSettings, clock: HandClock) -> AsyncIterator[LimiterStore]:
    opened = open_store(settings, clock)
    await opened.open()
    yield opened
    if isinstance(opened, ValkeyStore):
        assert not opened.outages, "the host's own store was asked"
    await opened.close()


@pytest.fixture
def accounts(store: LimiterStore) -> Accounts:
    return store.accounts


async def reserve(
    accounts: Accounts, *claims: Claim, tokens: int = 100, windows: Windows = TODAY, record: bytes = b"died"
) -> Reservation:
    return await accounts.reserve(claims or (DAILY,), tokens=tokens, windows=windows, will=Will(10, record))


async def refused(accounts: Accounts, *claims: Claim, tokens: int = 100, windows: Windows = TODAY) -> OverLimitError:
    with pytest.raises(OverLimitError) as caught:
        await reserve(accounts, *claims, tokens=tokens, windows=windows)
    return caught.value


async def spent(accounts: Accounts, claim: Claim = DAILY, windows: Windows = TODAY) -> tuple[int, int, int, int]:
    """Requests and tokens of the day and of the month."""
    at = await accounts.standing(claim.account, windows)
    return at.day_requests, at.day_tokens, at.month_requests, at.month_tokens


async def records(accounts: Accounts) -> list[bytes]:
    return sorted(record for sheet in await accounts.journal(1000) for record in sheet.records())


async def test_what_is_reserved_counts_at_once_and_is_replaced_by_what_it_took(accounts: Accounts) -> None:
    reservation = await reserve(accounts)
    assert reservation.standings == [Standing(0.0, 0.0, 1, 100, 1, 100)]
    assert await spent(accounts) == (1, 100, 1, 100)
    accounts.settle(reservation, requests=1, tokens=30, record=b"it took 30")
    assert await spent(accounts) == (1, 30, 1, 30)
    assert await records(accounts) == [b"it took 30"]


async def test_what_was_not_run_is_refunded_and_leaves_no_record(accounts: Accounts) -> None:
    reservation = await reserve(accounts, DAILY, MINUTELY)
    accounts.settle(reservation, requests=0, tokens=0, record=None)
    assert await spent(accounts) == (0, 0, 0, 0)
    assert await accounts.standing(MINUTELY.account, TODAY) == Standing()
    assert await records(accounts) == []


async def test_settling_twice_counts_once(accounts: Accounts) -> None:
    reservation = await reserve(accounts)
    for _ in range(3):
        accounts.settle(reservation, requests=1, tokens=30, record=b"once")
        assert await spent(accounts) == (1, 30, 1, 30)
    assert await records(accounts) == [b"once"]


async def test_more_than_was_reserved_counts_too_and_takes_the_account_over_its_limit(accounts: Accounts) -> None:
    accounts.settle(await reserve(accounts), requests=1, tokens=5000, record=None)
    assert await spent(accounts) == (1, 5000, 1, 5000)
    assert (await refused(accounts, tokens=0)).field == "tokens_per_day"


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (AccountLimits(tokens_per_day=250), "tokens_per_day"),
        (AccountLimits(tokens_per_month=250), "tokens_per_month"),
        (AccountLimits(requests_per_day=2), "requests_per_day"),
        (AccountLimits(requests_per_month=2), "requests_per_month"),
        (AccountLimits(requests_per_minute=2), "requests_per_minute"),
        (AccountLimits(tokens_per_minute=250), "tokens_per_minute"),
    ],
)
async def test_each_limit_holds_alone_and_a_refusal_counts_nothing(
    accounts: Accounts, limits: AccountLimits, field: str
) -> None:
    claim = Claim("org:acme", limits)
    for _ in range(2):
        await reserve(accounts, claim)
    before = await accounts.standing(claim.account, TODAY)
    error = await refused(accounts, FREE, claim)
    assert (error.claim, error.field) == (1, field)
    assert (error.retry_after is not None) == field.endswith("minute")
    assert await accounts.standing(claim.account, TODAY) == before
    assert await accounts.standing(FREE.account, TODAY) == Standing()
    assert error.standings == [Standing(), before]


async def test_of_several_limits_the_one_that_lasts_longest_is_told(accounts: Accounts) -> None:
    quota = Claim("org:acme", AccountLimits(tokens_per_day=100))
    await reserve(accounts, quota)
    await reserve(accounts, MINUTELY, tokens=550)
    error = await refused(accounts, MINUTELY, quota)
    assert (error.claim, error.field, error.retry_after) == (1, "tokens_per_day", None)


async def test_what_was_used_up_yesterday_is_not_told_today(accounts: Accounts) -> None:
    await reserve(accounts, DAILY, tokens=1000)
    await reserve(accounts, MINUTELY, tokens=550)
    error = await refused(accounts, DAILY, MINUTELY, tokens=100, windows=TOMORROW)
    assert (error.claim, error.field) == (1, "tokens_per_minute")


async def test_a_minutes_tokens_flow_back_in_and_a_refusal_says_when(accounts: Accounts, clock: HandClock) -> None:
    await reserve(accounts, MINUTELY, tokens=600)
    error = await refused(accounts, MINUTELY, tokens=100)
    assert error.retry_after == pytest.approx(10.0)
    clock.now += 9.9
    await refused(accounts, MINUTELY, tokens=100)
    clock.now += 0.1001
    await reserve(accounts, MINUTELY, tokens=100)


async def test_what_no_minute_holds_is_never_granted(accounts: Accounts) -> None:
    error = await refused(accounts, MINUTELY, tokens=601)
    assert (error.field, error.retry_after) == ("tokens_per_minute", None)


async def test_a_minutes_bucket_gets_back_what_was_not_used_and_owes_what_was(
    accounts: Accounts, clock: HandClock
) -> None:
    accounts.settle(await reserve(accounts, MINUTELY, tokens=600), requests=1, tokens=60, record=None)
    assert (await accounts.standing("key:7", TODAY)).tokens_full_after == pytest.approx(6.0)
    accounts.settle(await reserve(accounts, MINUTELY, tokens=60), requests=1, tokens=1200, record=None)
    assert (await accounts.standing("key:7", TODAY)).tokens_full_after == pytest.approx(126.0)
    clock.now += 66.0
    assert (await refused(accounts, MINUTELY, tokens=10)).retry_after == pytest.approx(1.0)


async def test_a_new_day_begins_anew_and_the_month_goes_on(accounts: Accounts) -> None:
    await reserve(accounts)
    assert await spent(accounts, windows=TOMORROW) == (0, 0, 1, 100)
    await reserve(accounts, windows=TOMORROW)
    assert await spent(accounts, windows=TOMORROW) == (1, 100, 2, 200)
    assert await spent(accounts, windows=NEXT_MONTH) == (0, 0, 0, 0)


async def test_a_clock_that_steps_back_over_midnight_fills_nothing(accounts: Accounts) -> None:
    await reserve(accounts, tokens=900)
    late = await reserve(accounts, windows=YESTERDAY, tokens=100)
    assert late.windows == [TODAY]
    assert (await refused(accounts, windows=YESTERDAY, tokens=1)).field == "tokens_per_day"
    accounts.settle(late, requests=1, tokens=50, record=None)
    assert await spent(accounts, windows=YESTERDAY) == (2, 950, 2, 950)
    assert await spent(accounts) == (2, 950, 2, 950)


async def test_a_clock_that_was_wrong_by_days_takes_its_counts_back_with_it(accounts: Accounts) -> None:
    await reserve(accounts, windows=Windows(800_000, 26_000), tokens=900)
    assert (await refused(accounts, tokens=101)).field == "tokens_per_day"
    await reserve(accounts, tokens=100)
    assert await spent(accounts) == (2, 1000, 2, 1000)
    assert await spent(accounts, windows=TOMORROW) == (0, 0, 2, 1000)


async def test_what_ends_after_midnight_counts_in_the_day_in_which_it_was_reserved(accounts: Accounts) -> None:
    yesterdays = await reserve(accounts)
    todays = await reserve(accounts, windows=TOMORROW)
    accounts.settle(yesterdays, requests=1, tokens=700, record=None)
    assert await spent(accounts, windows=TOMORROW) == (1, 100, 2, 800)
    accounts.settle(todays, requests=0, tokens=0, record=None)
    assert await spent(accounts, windows=TOMORROW) == (0, 0, 1, 700)


async def test_an_earlier_epochs_use_is_added_once_to_an_account_that_counts_already(accounts: Accounts) -> None:
    await reserve(accounts)
    for _ in range(3):
        await accounts.restore("org:acme", TODAY, (4, 400), (50, 5000))
    assert await spent(accounts) == (5, 500, 51, 5100)
    await accounts.restore("org:acme", TOMORROW, (1, 10), (99, 9900))
    assert await spent(accounts, windows=TOMORROW) == (1, 10, 51, 5100)
    await accounts.restore("org:acme", TODAY, (7, 70), (7, 70))
    assert await spent(accounts, windows=TOMORROW) == (1, 10, 51, 5100)


async def test_an_unknown_account_can_be_restored(accounts: Accounts) -> None:
    await accounts.restore("org:acme", TODAY, (4, 950), (4, 950))
    assert (await refused(accounts)).field == "tokens_per_day"


async def test_a_key_that_is_used_from_several_addresses_has_one_account(accounts: Accounts) -> None:
    key = Claim("key:7", AccountLimits(requests_per_day=3))
    here, there = (Claim(f"ip:192.0.2.{number}", AccountLimits()) for number in (1, 2))
    await accounts.restore(key.account, TODAY, (1, 10), (1, 10))
    await reserve(accounts, here, key)
    elsewhere = await reserve(accounts, there, key)
    assert elsewhere.used()[1].day_requests == 3
    assert (await refused(accounts, here, key)).claim == 1
    accounts.settle(elsewhere, requests=0, tokens=0, record=None)
    assert await spent(accounts, key) == (2, 110, 2, 110)
    await reserve(accounts, here, key)
    assert (await refused(accounts, there, key)).claim == 1
    assert (await spent(accounts, here))[0] == 2
    assert (await spent(accounts, there))[0] == 0


async def settled(accounts: Accounts, contents: Iterable[bytes]) -> None:
    for record in contents:
        accounts.settle(await reserve(accounts, FREE), requests=1, tokens=1, record=record)
    await accounts.standing(FREE.account, TODAY)


async def test_the_journal_is_read_in_parts_and_what_was_taken_away_is_gone(accounts: Accounts) -> None:
    contents = [b"record %d" % number for number in range(5)]
    await settled(accounts, contents[:3])
    await settled(accounts, contents[3:])
    first = await accounts.journal(2)
    assert 2 <= sum(sheet.count() for sheet in first) < 5
    assert await records(accounts) == contents  # reading removes nothing
    await accounts.forget([sheet.key for sheet in first])
    await accounts.forget([sheet.key for sheet in first])
    rest = await accounts.journal(10)
    assert sorted(record for sheet in first + rest for record in sheet.records()) == contents
    await accounts.forget([sheet.key for sheet in rest])
    assert accounts.journal_counts() == (0, 0, 0)


async def test_a_full_journal_loses_records_and_counts_them_and_refuses_nobody(accounts: Accounts) -> None:
    await settled(accounts, [bytes(20_000)] * 5)
    counts = accounts.journal_counts()
    assert (counts.records, counts.lost) == (3, 2)
    assert 60_000 < counts.size <= 2**16
    await accounts.forget([sheet.key for sheet in await accounts.journal(10)])
    await settled(accounts, [bytes(20_000)])
    assert (accounts.journal_counts().records, accounts.journal_counts().lost) == (1, 2)


@bounded
async def test_accounts_are_bounded_and_those_with_use_in_a_running_window_are_forgotten_last(
    accounts: Accounts,
) -> None:
    for number in range(60):
        accounts.settle(
            await reserve(accounts, Claim(f"org:idle{number}", AccountLimits())), requests=1, tokens=9, record=None
        )
    await accounts.standing("org:acme", TODAY)
    await reserve(accounts, tokens=900, windows=NEXT_MONTH)
    for number in range(60):
        await reserve(accounts, Claim(f"org:new{number}", AccountLimits()), tokens=1, windows=NEXT_MONTH)
    assert await spent(accounts, windows=NEXT_MONTH) == (1, 900, 1, 900)
    assert all([(await spent(accounts, Claim(f"org:new{n}", AccountLimits()), NEXT_MONTH))[0] == 1 for n in range(60)])
    for number in range(200):
        await reserve(accounts, Claim(f"org:newer{number}", AccountLimits()), tokens=1, windows=NEXT_MONTH)
    assert await spent(accounts, windows=NEXT_MONTH) == (1, 900, 1, 900)  # the most used of all goes last


@bounded
async def test_what_runs_in_an_account_that_is_forgotten_counts_when_it_ends(accounts: Accounts) -> None:
    running = await reserve(accounts, tokens=10)
    for number in range(150):
        await reserve(accounts, Claim(f"org:new{number}", AccountLimits()), tokens=500)
    assert await spent(accounts) == (0, 0, 0, 0)
    accounts.settle(running, requests=1, tokens=44, record=b"late")
    assert await spent(accounts) == (1, 44, 1, 44)


@pytest.mark.parametrize("settings", [VALKEY], indirect=True)
async def test_a_reservation_that_is_cancelled_on_its_way_counts_nothing(accounts: Accounts) -> None:
    asking = asyncio.create_task(reserve(accounts))
    await checkpoint()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await spent(accounts) == (0, 0, 0, 0)


async def test_an_epoch_has_a_name_that_stays(accounts: Accounts) -> None:
    assert len(accounts.epoch()) == 16
    assert accounts.epoch() == accounts.epoch()


async def test_all_accounts_are_gone_through_page_by_page(accounts: Accounts) -> None:
    claims = [Claim(f"org:{number}", AccountLimits()) for number in range(5)]
    for claim in claims:
        await reserve(accounts, claim, tokens=100)
    await reserve(accounts, DAILY, windows=TOMORROW)
    pages, after = [], ""
    while page := await accounts.page(after, 2, TODAY):
        pages.append(page)
        after = page[-1][0]
    assert [len(page) for page in pages] == [2, 2, 2]
    found = {name: (at.day_requests, at.day_tokens) for page in pages for name, at in page}
    assert list(found) == ["org:0", "org:1", "org:2", "org:3", "org:4", "org:acme"]
    assert found["org:0"] == (1, 100)


async def test_an_account_of_an_earlier_day_has_used_nothing_on_its_page(accounts: Accounts) -> None:
    await reserve(accounts, DAILY, windows=TODAY)
    ((name, at),) = await accounts.page("", 10, TOMORROW)
    assert (name, at.day_requests, at.month_requests) == (DAILY.account, 0, 1)
