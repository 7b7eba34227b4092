"""A chunk that is there alone is known by its length and its first line."""

import pytest

from gateway.core.chunks import FIRST_LINES, USUAL_BYTES, sole_chunk


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 256, USUAL_BYTES - 1])
def test_a_chunk_of_usual_spelling_is_known(size: int) -> None:
    body = b"x" * size
    assert sole_chunk(b"%x\r\n%b\r\n" % (size, body)) == body


@pytest.mark.parametrize("size", [0, USUAL_BYTES])
def test_the_last_chunk_and_large_ones_are_none_of_these(size: int) -> None:
    assert sole_chunk(b"%x\r\n%b\r\n" % (size, b"x" * size)) == b""


def test_each_size_has_a_length_of_its_own() -> None:
    assert sum(map(bool, FIRST_LINES)) == USUAL_BYTES - 1
