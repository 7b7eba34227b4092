"""A head that repeats is recognised, and what is recognised is what llhttp would have read."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.core.asgi import first_of
from gateway.upstream.answer import Answer
from gateway.upstream.parser import BadAnswerError, Parser
from gateway.upstream.usual import LEARNED_EVERY, MAX_HEAD_BYTES, NOTHING, UsualAnswer
from tests.upstream.test_answer import CUTS, FIELDS, Outcome, pieces_of

VLLM = (
    b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 04:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-length: %d\r\ncontent-type: application/json\r\nvary: Origin\r\n\r\n"
)
STREAM = (
    b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 04:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
SPOILERS = [b"", b"\r", b"\n", b"\r\n", b"0", b"7", b" ", b":", b"\0", b"\xff", b"\r\ncontent-length: 3", b"x" * 40]


def answer_of(size: int, head: bytes = VLLM) -> bytes:
    return head % size + b"x" * size


def read(parser: Parser, data: bytes, cuts: list[int]) -> tuple[Outcome, bool]:
    """What is told of these bytes, and whether their connection may be used again."""
    answer = Answer(parser)
    try:
        for piece in pieces_of(data, cuts):
            answer.feed(piece)
        if not answer.complete:
            answer.eof()
    except BadAnswerError as error:
        return Outcome(body=answer.take(), complete=False, status=hash(error.reason)), False
    assert answer.content_type == first_of(answer.headers, b"content-type")
    return Outcome(answer.status, answer.headers, answer.take(), answer.complete), answer.reusable


def taught(data: bytes) -> UsualAnswer:
    """What is remembered after one answer."""
    usual = UsualAnswer()
    Answer(Parser(usual)).feed(data)
    return usual


def recognised(usual: UsualAnswer, data: bytes, cuts: list[int] = []) -> bool:  # noqa: B006 -- never altered
    """Whether this was read without llhttp."""
    parser = Parser(usual)
    read(parser, data, cuts)
    return parser._llhttp is None


@pytest.mark.parametrize("size", [0, 1, 648, 100_000])
def test_a_head_that_repeats_is_not_read_again(size: int) -> None:
    usual, data = taught(answer_of(648)), answer_of(size)
    at = data.index(b"\r\n\r\n") + 4
    for cuts in ([], [at], [at + 1], [at, at + 1, max(at, len(data) - 1)]):
        assert recognised(usual, data, cuts)
        assert read(Parser(usual), data, cuts) == read(Parser(), data, cuts)


@pytest.mark.parametrize(
    "head",
    [
        VLLM.replace(b"04:00:00", b"04:00:01"),
        VLLM.replace(b"200 OK", b"400 Bad Request"),
        VLLM.replace(b"%d", b"0x%d"),
        VLLM.replace(b"%d", b"%d "),
        VLLM.replace(b"%d", b"-%d"),
        VLLM.replace(b"%d", b"0000000000000%d"),
        VLLM.replace(b"vary: Origin\r\n", b""),
        VLLM.replace(b"vary: Origin", b"vary: Origin\r\nconnection: close"),
        VLLM.replace(b"vary: Origin", b"vary: Origin\r\ntransfer-encoding: chunked"),
        VLLM.replace(b"vary: Origin", b"vary: Origin\r\ncontent-length: 3"),
        VLLM.replace(b"\r\n", b"\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + VLLM,
    ],
)
def test_a_head_that_differs_is_read_as_if_it_were_the_first(head: bytes) -> None:
    usual, data = taught(answer_of(648)), answer_of(123, head)
    assert not recognised(usual, data)
    assert read(Parser(taught(answer_of(648))), data, []) == read(Parser(), data, [])


@pytest.mark.parametrize(
    "data",
    [
        answer_of(3, VLLM.replace(b"vary: Origin", b"connection: close")),
        answer_of(3, VLLM.replace(b"vary: Origin", b"connection: vary")),
        answer_of(3, VLLM.replace(b"HTTP/1.1", b"HTTP/1.0")),
        answer_of(0, VLLM.replace(b"200 OK", b"204 No Content")),
        answer_of(3, VLLM.replace(b"Origin", b"x" * MAX_HEAD_BYTES)),
        answer_of(3, VLLM.replace(b"%d", b"%d ")),
        answer_of(3, VLLM.replace(b"%d", b"00%d")),
        b"HTTP/1.1 200 Sure3\r\ncontent-length:3\r\n\r\nabc",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer_of(3),
        b"HTTP/1.1 100 Continue\r\ncontent-length: 3\r\n\r\n" + answer_of(3),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end",
    ],
)
def test_what_says_more_than_its_length_is_not_remembered(data: bytes) -> None:
    usual = taught(data)
    assert usual.prefix is NOTHING


@pytest.mark.parametrize("data", [b"\x005\x00hello", b"5hello", b"0", b"\0", b"()5()hello", b"\r\n\r\n5\r\n\r\nhello"])
def test_before_a_head_was_learned_none_is_recognised(data: bytes) -> None:
    assert not recognised(UsualAnswer(), data)
    assert read(Parser(), data, []) == (Outcome(body=b"", complete=False, status=hash("malformed")), False)


def test_heads_that_take_turns_do_not_push_each_other_out_each_time() -> None:
    usual, other = taught(answer_of(648)), answer_of(1, VLLM.replace(b"200 OK", b"400 Bad Request"))
    assert sum(recognised(usual, data) for data in [other, answer_of(1)] * 30) >= 25


def test_a_head_that_stays_is_learned_soon() -> None:
    usual, tomorrow = taught(answer_of(648)), answer_of(3, VLLM.replace(b"21 Nov", b"22 Nov"))
    known = [recognised(usual, tomorrow) for _ in range(LEARNED_EVERY + 1)]
    assert known == [False] * LEARNED_EVERY + [True]


def test_a_head_that_comes_in_two_pieces_is_neither_remembered_nor_recognised() -> None:
    data, usual = answer_of(34), taught(answer_of(648))
    for cut in range(1, data.index(b"\r\n\r\n") + 4):
        new = UsualAnswer()
        read(Parser(new), data, [cut])
        assert new.prefix is NOTHING
        assert not recognised(usual, data, [cut])
        assert read(Parser(usual), data, [cut]) == read(Parser(), data, [cut])


def test_who_does_not_read_a_recognised_answer_is_as_far_behind() -> None:
    answer, data = Answer(Parser(taught(answer_of(648)))), answer_of(1000)
    for piece in pieces_of(data, [300, 600, 900]):
        answer.feed(piece)
    assert answer.behind == len(data)
    assert (answer.take(), answer.behind) == (b"x" * 1000, 0)


def test_an_answer_to_head_is_neither_remembered_nor_recognised() -> None:
    usual = UsualAnswer()
    Answer(Parser(usual), b"HEAD").feed(VLLM % 5)
    assert usual.prefix is NOTHING
    answer = Answer(Parser(taught(answer_of(648))), b"HEAD")
    answer.feed(VLLM % 5)
    assert (answer.complete, answer.content_length) == (True, 0)


def streamed(*bodies: bytes, head: bytes = STREAM) -> bytes:
    return head + b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\n\r\n"


@pytest.mark.parametrize("bodies", [(), (b"one",), (b"one", b"two"), (b"x" * 3000, b"three", b"4")], ids=len)
def test_a_stream_whose_head_repeats_is_read_without_llhttp(bodies: tuple[bytes, ...]) -> None:
    usual, data = taught(streamed(b"the first one")), streamed(*bodies)
    ends = [len(streamed(*bodies[:count])) - 5 for count in range(len(bodies) + 1)]
    for cuts in ([], ends, ends[:1], ends[-1:]):
        assert recognised(usual, data, cuts)
        assert read(Parser(usual), data, cuts) == read(Parser(), data, cuts)


def test_what_is_no_whole_chunk_behind_a_recognised_head_is_llhttps_as_if_it_had_read_the_head() -> None:
    usual, data = taught(streamed()), streamed(b"one", b"two", b"three")
    for cut in range(len(STREAM), len(data)):
        for cuts in ([len(STREAM), cut], [len(STREAM) + 8, max(cut, len(STREAM) + 8)]):
            told, reusable = read(Parser(usual), data, cuts)
            assert (told, reusable) == read(Parser(), data, cuts)
            assert (told.body, told.complete, reusable) == (b"onetwothree", True, True)


def test_a_recognised_stream_that_is_cut_is_none_that_ended() -> None:
    usual, data = taught(streamed()), streamed(b"one", b"two")
    for end in range(len(STREAM), len(data)):
        for cuts in ([], [len(STREAM)], [len(STREAM) + 8]):
            answer = Answer(Parser(usual))
            for piece in pieces_of(data[:end], cuts):
                answer.feed(piece)
            with pytest.raises(BadAnswerError, match="cut"):
                answer.eof()


@pytest.mark.parametrize(
    "data",
    [
        streamed(head=STREAM.replace(b"server", b"connection: close\r\nserver")),
        streamed(head=STREAM.replace(b"server", b"connection: server\r\nserver")),
        streamed(head=STREAM.replace(b"server", b"proxy-connection: close\r\nserver")),
        streamed(head=STREAM.replace(b"uvicorn", b"x" * MAX_HEAD_BYTES)),
        b"HTTP/1.1 100 Continue\r\n\r\n" + streamed(),
        STREAM.replace(b"200 OK", b"204 No Content"),
        answer_of(3),
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nuntil the end",
    ],
)
def test_what_says_more_than_that_chunks_follow_is_not_remembered(data: bytes) -> None:
    assert taught(data).stream.head is NOTHING


@pytest.mark.parametrize(
    ("line", "other"), [(b"OK\r\n", b"OK\n"), (b"chunked\r\n", b"chunked\n"), (b"\r\n\r\n", b"\r\n\n")]
)
def test_a_head_whose_end_may_be_seen_in_two_places_is_no_head(line: bytes, other: bytes) -> None:
    usual = UsualAnswer()
    with pytest.raises(BadAnswerError):
        Answer(Parser(usual)).feed(streamed(b"a\r\n\r\nb", head=STREAM.replace(line, other)))
    assert usual.stream.head is NOTHING


@pytest.mark.parametrize("after", [b"HTTP/1.1 200 OK\r\n", b"1\r\nx\r\n", b"0\r\n\r\n", b"x"])
@pytest.mark.parametrize("split", [False, True])
def test_bytes_after_a_recognised_stream_spoil_the_connection_but_not_the_answer(after: bytes, *, split: bool) -> None:
    answer = Answer(Parser(taught(streamed())))
    data = streamed(b"one") + after
    for piece in pieces_of(data, [len(data) - len(after)] if split else []):
        answer.feed(piece)
    assert (answer.complete, answer.reusable, answer.take()) == (True, False, b"one")


def test_a_streams_head_that_comes_in_two_pieces_is_neither_remembered_nor_recognised() -> None:
    data, usual = streamed(b"one"), taught(streamed())
    for cut in range(1, len(STREAM)):
        new = UsualAnswer()
        read(Parser(new), data, [cut])
        assert new.stream.head is NOTHING
        assert not recognised(usual, data, [cut])
        assert read(Parser(usual), data, [cut]) == read(Parser(), data, [cut])


def test_streams_do_not_push_out_the_head_of_whole_answers() -> None:
    usual = taught(answer_of(648))
    read(Parser(usual), streamed(b"one"), [])
    assert recognised(usual, answer_of(3))
    assert recognised(usual, streamed(b"two"))


def test_a_streams_head_in_answer_to_head_is_neither_remembered_nor_recognised() -> None:
    usual = UsualAnswer()
    Answer(Parser(usual), b"HEAD").feed(STREAM)
    assert usual.stream.head is NOTHING
    answer = Answer(Parser(taught(streamed())), b"HEAD")
    answer.feed(STREAM)
    assert (answer.complete, answer.take()) == (True, b"")


def test_who_altered_the_fields_of_a_recognised_stream_altered_no_other_ones() -> None:
    usual = taught(streamed())
    for _ in range(2):
        answer = Answer(Parser(usual))
        answer.feed(STREAM)
        assert answer.headers == [(b"content-type", b"text/event-stream; charset=utf-8")]
        answer.headers.clear()


@given(
    FIELDS,
    st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"5\r\nab\r\n4\r\n", b"x" * 5000]), max_size=6),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 3)), max_size=3),
    CUTS,
    st.data(),
)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_who_has_learned_a_streams_head_reads_like_who_has_not(
    fields: list[tuple[bytes, bytes]],
    bodies: list[bytes],
    wounds: list[tuple[int, int]],
    cuts: list[int],
    source: st.DataObject,
) -> None:
    lines = [b"%b: %b\r\n" % field for field in [*fields, (b"transfer-encoding", b"chunked")]]
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(lines) + b"\r\n"
    usual, data = taught(streamed(head=head)), streamed(*bodies, head=head)
    at_ends = [len(head)] + [at for at in cuts if at > len(head)] if source.draw(st.booleans()) else cuts
    for at, length in wounds:
        data = data[:at] + source.draw(st.sampled_from(SPOILERS)) + data[at + length :]
    assert read(Parser(usual), data, at_ends) == read(Parser(), data, at_ends)


@pytest.mark.parametrize("after", [b"HTTP/1.1 200 OK\r\n", b"x", b"\0"])
@pytest.mark.parametrize("split", [False, True])
def test_bytes_after_a_recognised_answer_spoil_the_connection_but_not_the_answer(after: bytes, *, split: bool) -> None:
    answer = Answer(Parser(taught(answer_of(648))))
    data = answer_of(9) + after
    for piece in pieces_of(data, [len(data) - len(after) - 4] if split else []):
        answer.feed(piece)
    assert (answer.complete, answer.reusable, answer.take()) == (True, False, b"x" * 9)


@given(
    FIELDS, FIELDS, st.integers(0, 400), st.lists(st.tuples(st.integers(0, 700), st.integers(0, 3))), CUTS, st.data()
)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([], [], 3, [], [], None)
def test_who_has_learned_reads_like_who_has_not(
    before: list[tuple[bytes, bytes]],
    after: list[tuple[bytes, bytes]],
    size: int,
    wounds: list[tuple[int, int]],
    cuts: list[int],
    source: st.DataObject | None,
) -> None:
    """The same head, whole or with bytes deleted or replaced, in any pieces, tells what it tells a fresh parser."""
    lines = [b"%b: %b\r\n" % field for field in [*before, (b"content-length", b"%d"), *after]]
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(lines) + b"\r\n"
    usual, data = taught(answer_of(648, head)), answer_of(size, head)
    assert recognised(usual, data)
    for at, length in wounds:
        spoiler = source.draw(st.sampled_from(SPOILERS)) if source else b""
        data = data[:at] + spoiler + data[at + length :]
    (learned, reusable), (fresh, anew) = read(Parser(usual), data, cuts), read(Parser(), data, cuts)
    assert learned == fresh
    assert reusable <= anew  # llhttp forgives a line break behind the end, which a count of bytes does not
