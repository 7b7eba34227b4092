"""A chunk's first line follows from its size, and from the length of the whole chunk."""

import pytest

from gateway.core.chunks import FIRST_LINES, LINE_END, SIZE_LINES, USUAL_BYTES


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 256, USUAL_BYTES - 1])
def test_a_line_states_the_size_and_is_found_by_the_length(size: int) -> None:
    line = SIZE_LINES[size]
    assert int(line.removesuffix(LINE_END), 16) == size
    assert FIRST_LINES[len(line) + size + len(LINE_END)] == line


def test_no_other_length_has_a_line() -> None:
    assert sum(map(bool, FIRST_LINES)) == USUAL_BYTES - 1
    assert FIRST_LINES[len(b"0\r\n\r\n")] == b""
    assert FIRST_LINES[-1] == SIZE_LINES[-1]
