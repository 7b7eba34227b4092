"""Tests of records that are read while they are written."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.records import HEAD_BYTES, record_of, words_at

MOST = 64


@given(st.binary(max_size=MOST), st.integers(0, 9))
def test_words_are_read_as_they_were_written(words: bytes, start: int) -> None:
    memory = memoryview(bytes(start) + record_of(words) + b"what stood there before")
    assert words_at(memory, start, MOST) == words


@given(st.binary(min_size=1, max_size=MOST), st.data())
def test_a_record_of_which_a_part_is_there_is_none(words: bytes, data: st.DataObject) -> None:
    record = record_of(words)
    there = data.draw(st.integers(0, len(record.rstrip(b"\0")) - 1))
    assert words_at(memoryview(record[:there].ljust(len(record), b"\0")), 0, MOST) is None


def test_zeros_longer_words_and_the_end_of_memory_are_no_record() -> None:
    assert words_at(memoryview(bytes(2 * HEAD_BYTES)), 0, MOST) is None
    assert words_at(memoryview(record_of(bytes(MOST + 1))), 0, MOST) is None
    assert words_at(memoryview(record_of(b"whole")[:-1]), 0, MOST) is None
    assert words_at(memoryview(b""), 0, MOST) is None
