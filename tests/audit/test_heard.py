"""What passes is kept up to its bound, and takes little more memory than its bytes, in whatever pieces it comes."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.heard import SMALL, Side

BOUND = 256 * 1024


@given(st.lists(st.one_of(st.binary(max_size=8), st.integers(SMALL - 2, SMALL + 2).map(bytes)), max_size=20))
def test_the_pieces_make_the_body_up_to_its_bound(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    side = Side(2 * SMALL)
    for piece in pieces:
        side.add(piece)
    assert side.body == whole[: 2 * SMALL]
    assert side.cut == (len(whole) > 2 * SMALL)


@pytest.mark.parametrize("sizes", [(1,), (2,), (100,), (SMALL - 1,), (SMALL,), (1, SMALL), (60_000,)], ids=str)
def test_what_is_kept_takes_no_more_memory_than_is_counted(sizes: tuple[int, ...]) -> None:
    tracemalloc.start()
    try:
        side = Side(BOUND)
        before, _ = tracemalloc.get_traced_memory()
        while not side.cut:
            for size in sizes:
                side.add(bytes(size))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(side.body) == BOUND
    assert after - before <= side.memory + 1024
    assert side.memory < 1.35 * BOUND
