"""Tests of the ledger, on both databases."""

import asyncio
from collections.abc import Sequence
from datetime import date

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from gateway.core.usage import MAX_TOKENS
from gateway.core.usage_record import UsageRecord, encode_usage
from gateway.core.usage_sheet import Sheet, encode_sheet
from gateway.database.database import Database
from gateway.database.errors import UnfitValueError
from gateway.database.rows import AccountUse, Booked, Usage
from gateway.database.settings import DatabaseSettings
from gateway.database.tables import USAGE_SHEETS
from gateway.database.usage import DAY_SECS, By
from tests.database.conftest import HandClock
from tests.support import ledger
from tests.support.ledger import sheet, sheets

pytestmark = pytest.mark.anyio

DAYS_OF_MONTH = 30


def windows(ended_at: float) -> tuple[int, int]:
    """A calendar whose months all have 30 days."""
    day = int(ended_at // DAY_SECS)
    return day, day // DAYS_OF_MONTH


def record(name: str, day: int = 0, **values: object) -> UsageRecord:
    """One request of organization acme that took 10 and gave 3 tokens."""
    plain = UsageRecord(
        name,
        ended_at=day * DAY_SECS + 1,
        organization="org:acme",
        key_id="key_a",
        model="qwen",
        path="/v1/chat/completions",
        status=200,
        outcome="ok",
        prompt_tokens=10,
        completion_tokens=3,
        backend="chat0",
    )
    return replace(plain, **values)


async def days(database: Database) -> list[Usage]:
    return await database.usage.report(by="day", first=0, last=10**6)


async def kept(database: Database) -> list[UsageRecord]:
    async with database._engine.connect() as connection:
        return ledger.read((await connection.execute(sa.select(USAGE_SHEETS.c.content))).scalars())


async def write(database: Database, records: Sequence[UsageRecord], epoch: str = "e", journal: str = "host") -> int:
    """Book a sheet for each: how many were new."""
    return (await database.usage.write(journal, sheets(records), epoch, windows)).records


async def test_a_record_is_kept_with_all_that_it_says(database: Database) -> None:
    told = record("r1", 65, estimated=True, cached=True, status=499)
    assert await write(database, [told], "epoch-1") == 1
    assert await kept(database) == [told]


async def test_a_batch_that_is_written_again_counts_once(database: Database) -> None:
    batch = [record(f"r{number}") for number in range(50)]
    assert await write(database, batch) == 50
    assert await write(database, batch) == 0
    assert await write(database, [*batch, record("r50")]) == 1
    assert await days(database) == [Usage("0", 51, 510, 153)]


async def test_a_sheet_that_stands_twice_in_a_batch_counts_once(database: Database) -> None:
    one = sheet("j1", record("r1"), record("r2"))
    assert (await database.usage.write("host", [one, one], "e", windows)).records == 2
    assert await days(database) == [Usage("0", 2, 20, 6)]


async def test_sheets_of_one_key_in_the_journals_of_two_hosts_are_two(database: Database) -> None:
    assert await write(database, [record("r1")]) == await write(database, [record("r1")], journal="other") == 1
    assert await days(database) == [Usage("0", 2, 20, 6)]


async def test_each_request_on_a_sheet_counts_in_the_day_that_it_names(database: Database) -> None:
    """And in the month around that, as people have months."""
    last, first = date(2026, 10, 31), date(2026, 11, 1)
    named = [("r1", last), ("r2", first), ("r3", last)]
    night = [replace(record(name, 3), day=day.toordinal()) for name, day in named]
    await database.usage.write("host", [sheet("j1", *night, record("r4", 3))], "e", windows)
    assert [(line.heading, line.requests) for line in await days(database)] == [
        ("3", 1),
        (str(last.toordinal()), 2),
        (str(first.toordinal()), 1),
    ]
    november = await database.usage.sums(first.toordinal(), 2026 * 12 + 11, except_epoch="")
    assert [use.month_requests for use in november] == [1, 1]


async def test_a_request_that_names_no_day_counts_in_that_in_which_it_ended(database: Database) -> None:
    night = [record("r1", 29), record("r2", 30), record("r3", 30, model="embed"), record("r4", 29)]
    booked = await database.usage.write("host", [sheet("j1", *night)], "e", windows)
    assert (booked.records, booked.lost, booked.first_at) == (4, {}, 29 * DAY_SECS + 1)
    assert await days(database) == [Usage("29", 2, 20, 6), Usage("30", 2, 20, 6)]
    assert [use.month_requests for use in await database.usage.sums(29, 0, except_epoch="")] == [2, 2]


async def test_what_cannot_be_read_is_lost_once_and_takes_nothing_along(database: Database) -> None:
    spoilt = encode_sheet([encode_usage(record("r1")), b"no record", encode_usage(record("r2", prompt_tokens=2**60))])
    batch = [Sheet(b"j1", spoilt), Sheet(b"j2", b"\xffno sheet"), sheet("j3", record("r3"))]
    booked = await database.usage.write("host", batch, "e", windows)
    assert (booked.records, booked.lost) == (2, {"host:6a31": 2, "host:6a32": 1})
    assert await database.usage.write("host", batch, "e", windows) == Booked(first_at=1.0)
    assert await days(database) == [Usage("0", 2, 20, 6)]


async def test_nothing_to_write_is_no_transaction(database: Database) -> None:
    assert await database.usage.write("host", [], "e", windows) == Booked()


async def test_hosts_that_write_the_same_batches_at_once_count_each_record_once(settings: DatabaseSettings) -> None:
    batches = [[record(f"r{batch}-{number}") for number in range(200)] for batch in range(5)]
    async with Database(settings) as one, Database(settings) as other:
        new = await asyncio.gather(
            *[write(one, batch) for batch in batches],
            *[write(other, batch[::-1]) for batch in batches[::-1]],
        )
        assert sum(new) == 1000
        assert await days(one) == [Usage("0", 1000, 10_000, 3000)]


async def test_a_batch_that_fails_leaves_nothing(database: Database) -> None:
    """The sheet fits, and is written first; its sum does not."""
    many = [record(f"r{number}", prompt_tokens=MAX_TOKENS) for number in range(2**10)]
    with pytest.raises(UnfitValueError):
        await database.usage.write("host", [sheet("j1", *many)], "e", windows)
    assert await kept(database) == []
    assert await days(database) == []


async def test_sums_are_of_the_day_and_its_month_and_leave_one_epoch_out(database: Database) -> None:
    await write(database, [record("r1", 31), record("r2", 32), record("r3", 29)], "old")
    await write(database, [record("r4", 32, key_id="", organization="ip:192.0.2.1")], "older")
    await write(database, [record("r5", 32)], "now")
    assert sorted(await database.usage.sums(32, 1, except_epoch="now"), key=str) == [
        AccountUse("ip:192.0.2.1", 1, 13, 1, 13),
        AccountUse("key:key_a", 1, 13, 2, 26),
        AccountUse("org:acme", 1, 13, 2, 26),
    ]
    assert await database.usage.sums(70, 2, except_epoch="") == []


async def test_a_key_that_was_used_from_several_addresses_has_one_sum(database: Database) -> None:
    await write(database, [record(f"r{number}", 1, organization=f"ip:192.0.2.{number}") for number in range(3)])
    sums = await database.usage.sums(1, 0, except_epoch="")
    assert [use for use in sums if use.account == "key:key_a"] == [AccountUse("key:key_a", 3, 39, 3, 39)]


async def test_single_requests_are_those_that_ended_from_one_moment_on_and_before_another(database: Database) -> None:
    await write(database, [record(f"r{day}", day) for day in range(4)])
    since, until = 1 * DAY_SECS + 1, 3 * DAY_SECS + 1  # when the second and the last one ended
    found, more = await database.usage.requests(since=since, until=until)
    assert ([one.request_id for one in found], more) == (["r2", "r1"], None)


@pytest.fixture
async def busy(database: Database) -> Database:
    """A ledger of three days, two organizations, three keys and two models."""
    await write(
        database,
        [
            record("r1", 1),
            record("r2", 2, key_id="key_b"),
            record("r3", 2, organization="org:beta", key_id="key_c", model="embed", completion_tokens=0),
            record("r4", 12, model="embed"),
        ],
    )
    await write(database, [record("r5", 1)], "another epoch")
    return database


async def test_reports_have_a_line_for_each_key_organization_model_or_day(busy: Database) -> None:
    assert await busy.usage.report(by="key", first=0, last=99) == [
        Usage("key_a", 3, 30, 9),
        Usage("key_b", 1, 10, 3),
        Usage("key_c", 1, 10, 0),
    ]
    assert await busy.usage.report(by="organization", first=0, last=99) == [
        Usage("org:acme", 4, 40, 12),
        Usage("org:beta", 1, 10, 0),
    ]
    assert await busy.usage.report(by="model", first=0, last=99) == [
        Usage("embed", 2, 20, 3),
        Usage("qwen", 3, 30, 9),
    ]
    assert await days(busy) == [Usage("1", 2, 20, 6), Usage("2", 2, 20, 3), Usage("12", 1, 10, 3)]


async def test_reports_are_of_some_days_one_organization_or_one_key(busy: Database) -> None:
    assert await busy.usage.report(by="day", first=2, last=2) == [Usage("2", 2, 20, 3)]
    assert await busy.usage.report(by="model", first=2, last=12, organization="org:acme") == [
        Usage("embed", 1, 10, 3),
        Usage("qwen", 1, 10, 3),
    ]
    assert await busy.usage.report(by="day", first=0, last=99, key_id="key_b") == [Usage("2", 1, 10, 3)]


@pytest.mark.parametrize("by", ["key", "day"])
async def test_reports_come_in_pages(busy: Database, by: By) -> None:
    whole = await busy.usage.report(by=by, first=0, last=99)
    pages: list[Usage] = []
    while page := await busy.usage.report(
        by=by,
        first=0,
        last=99,
        after=pages[-1].heading if pages else "",
        most=1,
    ):
        assert len(page) == 1
        pages += page
    assert pages == whole


async def test_what_is_over_its_time_goes_in_small_batches_oldest_first(
    settings: DatabaseSettings, clock: HandClock
) -> None:
    short = settings.model_copy(update={"usage_retention_days": 10, "usage_daily_retention_days": 20})
    today = windows(clock.now)[0]
    async with Database(short, clock) as database:
        await write(database, [record(f"r{age:02}", today - age) for age in range(30)])
        gone = []
        while (batch := await database.usage.prune(today, most=4)) > 0:
            gone.append(batch)
        assert max(gone) <= 8
        assert sorted(row.request_id for row in await kept(database)) == [f"r{age:02}" for age in range(10)]
        assert len(await days(database)) == 21


async def test_retention_of_0_days_keeps_everything(settings: DatabaseSettings, clock: HandClock) -> None:
    for_ever = settings.model_copy(update={"usage_retention_days": 0, "usage_daily_retention_days": 0})
    async with Database(for_ever, clock) as database:
        await write(database, [record("r1", 1)])
        assert await database.usage.prune(windows(clock.now)[0]) == 0
        assert len(await kept(database)) == len(await days(database)) == 1
