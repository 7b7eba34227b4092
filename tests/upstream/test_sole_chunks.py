"""A chunk that comes by itself is taken without llhttp, and what is taken so is what llhttp would have read."""

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.core.chunks import USUAL_BYTES, sole_chunk
from gateway.upstream.answer import Answer
from gateway.upstream.parser import BadAnswerError, Parser
from tests.upstream.backend import STREAM, chunk

END = b"0\r\n\r\n"
SPELLINGS = [b"%x\r\n%b\r\n", b"%X\r\n%b\r\n", b"0%x\r\n%b\r\n", b"%x;a=b\r\n%b\r\n", b"%x \r\n%b\r\n", b"%x\n%b\r\n"]
SPOILERS = [b"", b"\r", b"\n", b"\r\n", b"0", b"5\r\n", b";", b"\r\n5\r\n", b"\0"]


def read(pieces: list[bytes], *, shortly: bool) -> tuple[bytes, bool, bool, str]:
    """Body, completeness, whether the connection may be used again, and the failure; as `Connection` reads, or not."""
    answer, body = Answer(), []
    try:
        for piece in pieces:
            found = sole_chunk(piece) if shortly and answer.between_chunks else b""
            if found:
                body.append(found)
                continue
            answer.feed(piece)
            body.append(answer.take())
        if not answer.complete:
            answer.eof()
    except BadAnswerError as error:
        return b"".join([*body, answer.take()]), False, False, error.reason
    return b"".join(body), answer.complete, answer.reusable, ""


def pouring(*pieces: bytes) -> tuple[Answer, Parser]:
    """A stream whose pieces were read by llhttp and taken."""
    parser = Parser()
    answer = Answer(parser)
    for piece in (STREAM, *pieces):
        answer.feed(piece)
        answer.take()
    return answer, parser


def test_what_follows_a_chunk_that_came_by_itself_is_not_read_by_llhttp_again() -> None:
    answer, _ = pouring(chunk(b"one"))
    assert answer.between_chunks
    assert sole_chunk(chunk(b"another")) == b"another"
    answer.feed(chunk(b"third") + END)
    assert (answer.take(), answer.complete, answer.reusable) == (b"third", True, True)


def test_where_llhttp_stands_is_not_known_before_a_chunk_came_by_itself() -> None:
    for pieces in ([], [chunk(b"one") + chunk(b"two")], [chunk(b"one") + b"3\r\n"], [chunk(b"one"), b"3\r\ntw"]):
        answer, _ = pouring(*pieces)
        assert not answer.between_chunks


def test_the_rest_of_a_chunk_that_looks_like_one_is_none() -> None:
    piece = b"4\r\n4\r\n4\r\n"  # four bytes that end a chunk, and the line of another; alone, a chunk of the same four
    pieces = [STREAM, b"7\r\nabc", piece, b"wxyz\r\n", END]
    assert read(pieces, shortly=True) == read(pieces, shortly=False) == (b"abc4\r\n4wxyz", True, True, "")
    answer, _ = pouring(*pieces[1:3])
    assert not answer.between_chunks


def test_a_chunk_in_a_chunk_is_body() -> None:
    pieces = [STREAM, chunk(b"one"), b"a\r\n", chunk(b"abcde"), b"\r\n", END]
    assert read(pieces, shortly=True) == (b"one" + chunk(b"abcde"), True, True, "")


def test_a_size_that_came_in_two_pieces_is_no_smaller_one() -> None:
    pieces = [STREAM, b"1", chunk(b"abcde"), chunk(b"abcdefghi"), b"\r\n", END]
    assert read(pieces, shortly=True) == (b"abcde\r\n" + chunk(b"abcdefghi"), True, True, "")


def test_other_spellings_are_llhttps() -> None:
    for spelling in SPELLINGS[2:]:
        assert not sole_chunk(spelling % (12, b"twelve bytes"))
    for odd in (END, b"", b"\r\n", b"3\r\ntwo\r", b"3\r\ntwo\r\n\r\n", b"3\r\ntwo\n\n", chunk(b"x" * USUAL_BYTES)):
        assert not sole_chunk(odd)


bodies = st.binary(min_size=1, max_size=40) | st.sampled_from(
    [b"5\r\nab\r\n4\r\n", b"data: {}\n\n", b"x" * 4090, b"x" * 5000]
)
chunks = st.builds(
    lambda spelling, body: spelling % (len(body), body), st.sampled_from(SPELLINGS[:1] * 6 + SPELLINGS), bodies
)


@given(st.lists(chunks, max_size=8), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60))), st.data())
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([], [], None)
def test_a_stream_is_read_the_same_with_and_without_the_short_way(
    chunks: list[bytes], wounds: list[tuple[int, int]], source: st.DataObject | None
) -> None:
    """Pieces are chunks, joined, cut or spoilt here and there."""
    pieces = [STREAM, *chunks, END]
    for which, at in wounds:
        number = which % len(pieces)
        spoiler, action = (
            (source.draw(st.sampled_from(SPOILERS)), source.draw(st.integers(0, 2))) if source else (b"", 0)
        )
        piece = pieces[number]
        if action == 0:
            pieces[number : number + 1] = [piece[:at], piece[at:]]
        elif action == 1:
            pieces[number : number + 2] = [b"".join(pieces[number : number + 2])]
        else:
            pieces[number] = piece[:at] + spoiler + piece[at + len(spoiler) :]
    assert read(pieces, shortly=True) == read(pieces, shortly=False)
