"""A chunk that is there alone is known by its length and its first line."""

import pytest

from gateway.core.chunks import FIRST_LINES, USUAL_BYTES, sole_chunk, whole_chunks


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 256, USUAL_BYTES - 1])
def test_a_chunk_of_usual_spelling_is_known(size: int) -> None:
    body = b"x" * size
    assert sole_chunk(b"%x\r\n%b\r\n" % (size, body)) == body


@pytest.mark.parametrize("size", [0, USUAL_BYTES])
def test_the_last_chunk_and_large_ones_are_none_of_these(size: int) -> None:
    assert sole_chunk(b"%x\r\n%b\r\n" % (size, b"x" * size)) == b""


def test_each_size_has_a_length_of_its_own() -> None:
    assert sum(map(bool, FIRST_LINES)) == USUAL_BYTES - 1


@pytest.mark.parametrize(
    ("data", "bodies", "ended"),
    [
        (b"", [], False),
        (b"0\r\n\r\n", [], True),
        (b"3\r\none\r\n", [b"one"], False),
        (b"3\r\none\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n", [b"one", b"x" * 16], True),
        (b"6\r\n0\r\n\r\nx\r\n0\r\n\r\n", None, False),
        (b"5\r\nab0\r\n\r\n", None, False),
    ],
    ids=["nothing", "the end", "one", "two and the end", "the end in a body", "a body that ends like a stream"],
)
def test_whole_chunks_of_usual_spelling_are_taken_apart(
    data: bytes, bodies: list[bytes] | None, *, ended: bool
) -> None:
    assert whole_chunks(data) == (None if bodies is None else (bodies, ended))


@pytest.mark.parametrize(
    "odd",
    [
        b"3\r\none",
        b"3\r\none\r",
        b"3\r\none\r\n3",
        b"3\r\none\r\n3\r\ntw",
        b"03\r\none\r\n",
        b"A\r\n0123456789\r\n",
        b"3;a=b\r\none\r\n",
        b"3\none\r\n",
        b"4\r\none\r\n",
        b"0\r\n\r\n3\r\none\r\n",
        b"0\r\n\r\n0\r\n\r\n",
        b"0\r\nx: y\r\n\r\n",
        b"0\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"\r\n\r\n",
        b"\n\r\n\r\n",
        b"%x\r\n%b\r\n" % (USUAL_BYTES, b"x" * USUAL_BYTES),
    ],
)
def test_what_is_not_whole_chunks_or_spelled_otherwise_is_left_alone(odd: bytes) -> None:
    assert whole_chunks(odd) is None
