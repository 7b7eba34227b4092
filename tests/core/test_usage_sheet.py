"""What stands on a sheet is told without a look at it, and what is spoilt takes nothing along."""

import pytest
from msgspec import msgpack

from gateway.core.usage_record import UsageRecord, encode_usage
from gateway.core.usage_sheet import Sheet, encode_sheet, read_sheet


@pytest.mark.parametrize("count", [0, 1, 15, 16, 32, 65_535, 65_536])
def test_how_many_records_there_are_is_said_by_the_head_alone(count: int) -> None:
    sheet = Sheet(b"j", encode_sheet([b"r"] * count))
    assert sheet.count() == len(sheet.records()) == count


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xdc", msgpack.encode("text"), encode_sheet([b"r"])[:-1]])
def test_a_sheet_that_cannot_be_read_has_no_records_and_is_one_loss(content: bytes) -> None:
    assert Sheet(b"j", content).records() == []
    assert Sheet(b"j", content).count() < 32
    assert read_sheet(content) == ([], 1)


@pytest.mark.parametrize(
    "odd",
    [
        UsageRecord("r", prompt_tokens=-1),
        UsageRecord("r", completion_tokens=2**53 + 1),
        UsageRecord("r", prompt_tokens=2**63),
        UsageRecord("r", float("nan")),
        UsageRecord("r", float("inf")),
        UsageRecord("r", -1.0),
    ],
)
def test_a_figure_that_would_hold_up_others_is_lost_alone(odd: UsageRecord) -> None:
    sound = UsageRecord("sound", 1.0)
    assert read_sheet(encode_sheet([encode_usage(odd), b"\xc1", encode_usage(sound)])) == ([sound], 2)
