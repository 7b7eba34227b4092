"""How many sheets come at once, and which of them are there already, changes nothing about what the ledger says."""

import pytest

from gateway.core.usage_record import UsageRecord
from gateway.core.usage_sheet import Sheet
from gateway.database.database import Database
from gateway.database.rows import Usage
from tests.support.ledger import sheet

pytestmark = pytest.mark.anyio

DAY, MONTH = 5, 0
ON_SHEET = 3


def windows(ended_at: float) -> tuple[int, int]:
    del ended_at
    return DAY, MONTH


def some(first: int, after: int) -> list[Sheet]:
    """Sheets with a request each of three organizations; those on number n took n tokens, and gave one."""
    return [
        sheet(
            f"{n:05}",
            *[
                UsageRecord(f"r{n}-{which}", 1.5, f"org:{which}", "key", "qwen", prompt_tokens=n, completion_tokens=1)
                for which in range(ON_SHEET)
            ],
        )
        for n in range(first, after)
    ]


async def write(database: Database, sheets: list[Sheet]) -> int:
    """How many sheets were new."""
    booked = await database.usage.write("host", sheets, "e", windows)
    assert booked.records % ON_SHEET == 0
    return booked.records // ON_SHEET


async def said(database: Database) -> list[Usage]:
    return await database.usage.report(by="organization", first=DAY, last=DAY)


def expected(numbers: range) -> list[Usage]:
    return [Usage(f"org:{which}", len(numbers), sum(numbers), len(numbers)) for which in range(ON_SHEET) if numbers]


@pytest.mark.parametrize("count", [0, 1, 2, 63, 1000])
async def test_any_number_of_sheets_is_entered_and_added_up(database: Database, count: int) -> None:
    assert await write(database, some(0, count)) == count
    assert await said(database) == expected(range(count))


@pytest.mark.parametrize(("first", "after"), [(0, 1), (30, 130), (99, 100), (149, 151), (0, 300)])
async def test_of_a_batch_of_which_a_part_is_there_the_rest_alone_is_added_up(
    database: Database, first: int, after: int
) -> None:
    """The part stands at the beginning, in the middle or at the end, or is all of it."""
    known = some(first, after)
    await write(database, known)
    assert await write(database, some(0, 300)) == 300 - len(known)
    assert await said(database) == expected(range(300))


async def test_after_old_sheets_are_gone_it_is_still_known_which_ones_are_new(database: Database) -> None:
    await write(database, some(0, 200))
    assert await database.usage.prune(0)  # all of them ended in 1970
    await write(database, some(200, 210))
    assert await write(database, some(205, 215)) == 5
    assert await said(database) == expected(range(215))


async def test_texts_are_kept_as_they_are(database: Database) -> None:
    odd = UsageRecord("r\"1\\,'{}%(rows)s:x", 0.1 + 0.2, 'org:"ä\n\U0001f600', "\t", "%s ? :model", outcome="\u2028")
    for new in (1, 0):
        assert (await database.usage.write("h'\"o%s", [sheet("\\%?", odd)], "e", windows)).records == new
    [line] = await said(database)
    assert line.heading == odd.organization
