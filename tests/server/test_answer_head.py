"""No header of an answer can write another one."""

import pytest

from gateway.server.answer_head import lines_of


def test_a_field_is_a_line() -> None:
    assert lines_of([(b"a", b"b"), (b"c", b"")]) == [b"a: b", b"c: "]
    assert lines_of([]) == []


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\0", b"\r\nset-cookie: evil=1"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_field_that_holds_a_line_break_or_a_nul_is_refused(bad: bytes, place: int) -> None:
    field = [b"name", b"value"]
    field[place] += bad
    with pytest.raises(RuntimeError, match="line break or a NUL"):
        lines_of([(b"a", b"b"), (field[0], field[1]), (b"c", b"d")])
