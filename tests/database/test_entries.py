"""How many rows come at once, and which of them are there already, changes nothing about what the ledger says."""

import pytest
from msgspec.structs import astuple

from gateway.core.usage_record import UsageRecord
from gateway.database.database import Database
from gateway.database.entries import TOGETHER, bound
from gateway.database.errors import UnfitValueError
from gateway.database.rows import Usage

pytestmark = pytest.mark.anyio

DAY, MONTH = 5, 0


def windows(ended_at: float) -> tuple[int, int]:
    del ended_at
    return DAY, MONTH


def records(first: int, after: int) -> list[UsageRecord]:
    """Requests of three organizations; that of number n took n tokens, and gave one."""
    return [
        UsageRecord(
            f"r{n:05}", 1.5, f"org:{n % 3}", "key", "qwen", prompt_tokens=n, completion_tokens=1, cached=n % 2 > 0
        )
        for n in range(first, after)
    ]


async def said(database: Database) -> list[Usage]:
    return await database.usage.report(by="organization", first=DAY, last=DAY)


def expected(numbers: range) -> list[Usage]:
    parts = [[n for n in numbers if n % 3 == which] for which in range(3)]
    return [Usage(f"org:{which}", len(part), sum(part), len(part)) for which, part in enumerate(parts) if part]


@pytest.mark.parametrize("count", [1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 2 * TOGETHER, 1000])
async def test_any_number_of_records_is_entered_and_added_up(database: Database, count: int) -> None:
    assert await database.usage.write(records(0, count), "e", windows) == count
    assert await said(database) == expected(range(count))


@pytest.mark.parametrize(("first", "after"), [(0, 1), (30, 130), (99, 100), (149, 151), (0, 300)])
async def test_of_a_batch_of_which_a_part_is_there_the_rest_alone_is_added_up(
    database: Database, first: int, after: int
) -> None:
    """The part stands at the beginning, in the middle or at the end of a statement's rows, or is all of them."""
    known = records(first, after)
    await database.usage.write(known, "e", windows)
    assert await database.usage.write(records(0, 300), "e", windows) == 300 - len(known)
    assert await said(database) == expected(range(300))


async def test_after_old_records_are_gone_it_is_still_known_which_ones_are_new(database: Database) -> None:
    await database.usage.write(records(0, 200), "e", windows)
    assert await database.usage.prune(0)  # all of them ended in 1970
    await database.usage.write(records(200, 210), "e", windows)
    assert await database.usage.write(records(205, 215), "e", windows) == 5
    assert await said(database) == expected(range(215))


async def test_texts_are_kept_as_they_are(database: Database) -> None:
    odd = UsageRecord("r\"1\\,'{}%(rows)s:x", 0.1 + 0.2, 'org:"ä\n\U0001f600', "\t", "%s ? :model", outcome="\u2028")
    assert await database.usage.write([odd], "e", windows) == 1
    assert await database.usage.write([odd], "e", windows) == 0
    [line] = await said(database)
    assert line.heading == odd.organization


async def test_sums_beyond_64_bits_are_refused_and_leave_nothing(database: Database) -> None:
    """However far beyond: three of them are more than any integer that goes over a wire."""
    large = [UsageRecord(f"r{n}", organization="org:0", prompt_tokens=2**62) for n in range(5)]
    with pytest.raises(UnfitValueError):
        await database.usage.write(large, "e", windows)
    assert await said(database) == []


def test_sqlite_gets_as_few_statements_and_no_bools() -> None:
    """Each costs as much as a row; the driver asks Python about each bool."""
    rows = [(*astuple(record), "e", DAY, MONTH) for record in records(0, 2 * TOGETHER + 7)]
    statements = list(bound(rows))
    assert [len(parameters) for _, parameters in statements] == [2, 7]
    values = [value for _, parameters in statements for row in parameters for value in row]
    assert not any(isinstance(value, bool) for value in values)
    assert values == [value for row in rows for value in row]
