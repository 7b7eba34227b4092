"""How do bytes go wrong? They are lost, repeated, overwritten, exchanged, or cut into other pieces."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from hypothesis import strategies as st

LINE_BYTES = (b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"\0", b"\xff", b"0", b"7")
"""What decides in protocols of lines."""
LONGEST = 12
"""Bytes that one wound takes, at the most."""

CUTS = st.lists(st.integers(0, 1 << 16), max_size=8)


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` cut at these places, without empty pieces; an odd number stands for the next end of a line."""
    ends = [found.end() for found in re.finditer(rb"\n", data)] or [len(data)]
    chosen = {ends[cut // 2 % len(ends)] if cut % 2 else cut // 2 % (len(data) + 1) for cut in cuts}
    places = [0, *sorted(chosen), len(data)]
    return [data[start:end] for start, end in pairwise(places) if end > start]


def damaged(whole: st.SearchStrategy[bytes], words: Sequence[bytes], *, most: int = 3) -> st.SearchStrategy[bytes]:
    """Those bytes with up to `most` wounds, into which one of the words may have come."""

    @st.composite
    def wounded(draw: st.DrawFn) -> bytes:
        data = draw(whole)
        for _ in range(draw(st.integers(0, most))):
            at = draw(st.integers(0, len(data)))
            end = at + draw(st.integers(0, LONGEST))
            kind = draw(st.sampled_from(["over", "in", "again", "away", "turned"]))
            if kind == "over":
                word = draw(st.sampled_from(words))
                data = data[:at] + word + data[at + len(word) :]
            elif kind == "in":
                data = data[:at] + draw(st.sampled_from(words)) + data[at:]
            elif kind == "again":
                data = data[:end] + data[at:]
            elif kind == "away":
                data = data[:at] + data[end:]
            else:
                data = data[:at] + data[at:end][::-1] + data[end:]
        return data

    return wounded()


def twisted(
    whole: st.SearchStrategy[bytes], twists: Sequence[tuple[bytes, bytes]], *, most: int = 2
) -> st.SearchStrategy[bytes]:
    """Those bytes with up to `most` of their parts replaced by something that looks much like them."""

    @st.composite
    def twist(draw: st.DrawFn) -> bytes:
        data = draw(whole)
        for _ in range(draw(st.integers(1, most))):
            fitting = [(old, new) for old, new in twists if old in data]
            if fitting:
                old, new = draw(st.sampled_from(fitting))
                data = data.replace(old, new, 1)
        return data

    return twist()


@st.composite
def crossed(draw: st.DrawFn, several: Sequence[bytes]) -> bytes:
    """The beginning of one and the end of another of them."""
    one, other = draw(st.sampled_from(several)), draw(st.sampled_from(several))
    return one[: draw(st.integers(0, len(one)))] + other[draw(st.integers(0, len(other))) :]
