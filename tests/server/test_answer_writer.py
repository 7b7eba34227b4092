"""One answer, three ways to write it: at once, by messages, by pieces; the same framing in each."""

from collections.abc import Callable

import pytest

from gateway.core.asgi import Headers
from gateway.server.answer_writer import AnswerWriter
from tests.server.paper import Paper, whole, writer

HEAD = b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 01:00:00 GMT\r\n"
FIELDS: Headers = [(b"a", b"b"), (b"c", b"")]


def at_once(answer: AnswerWriter, body: bytes) -> None:
    answer.answer(200, FIELDS, body)


def by_messages(answer: AnswerWriter, body: bytes) -> None:
    answer.begin(200, [*FIELDS, (b"content-length", b"%d" % len(body))])
    answer.write(body, more=False)


def by_pieces(answer: AnswerWriter, body: bytes) -> None:
    answer.begin(200, [*FIELDS, (b"content-length", b"%d" % len(body))])
    for byte in body:
        answer.push(bytes([byte]))
    answer.write(b"", more=False)


def test_the_head_of_a_stream_leaves_with_the_first_piece_in_one_write() -> None:
    class Counting(Paper):
        writes = 0

        def write(self, data: bytes) -> None:
            super().write(data)
            self.writes += 1

    paper = Counting()
    assert writer(paper).start(200, FIELDS, b"one")
    assert paper.writes == 1
    assert paper.written == HEAD + b"a: b\r\nc: \r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"


@pytest.mark.parametrize("way", ["start", "push", "finish"])
def test_who_has_no_room_for_a_piece_is_said_to_have_none(way: str) -> None:
    paper = Paper()
    answer = writer(paper)
    if way != "start":
        assert answer.start(200, [], b"one")
    paper.congested = True
    assert not (answer.start(200, [], b"one") if way == "start" else getattr(answer, way)(b"two"))


def modern(answer: AnswerWriter) -> None:
    del answer


def old(answer: AnswerWriter) -> None:
    answer._chunked = answer.keep_alive = False


def head_only(answer: AnswerWriter) -> None:
    answer._mute = True


def early(answer: AnswerWriter) -> None:
    answer.more_body = True


WAYS = [at_once, by_messages, by_pieces]
KINDS = [modern, old, head_only, early]


@pytest.mark.parametrize("body", [b"", b"b", b"body"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_of_known_length_is_the_same_bytes_in_all_three_ways(
    kind: Callable[[AnswerWriter], None], body: bytes
) -> None:
    seen = set()
    for way in WAYS:
        paper = Paper()
        answer = writer(paper)
        kind(answer)
        way(answer, body)
        assert paper.ended == "ended"
        assert answer.complete
        seen.add((paper.written, answer.keep_alive))
    stays = kind in (modern, head_only)
    head = HEAD + b"a: b\r\nc: \r\ncontent-length: %d\r\n" % len(body) + b"connection: close\r\n" * (not stays)
    assert seen == {(head + b"\r\n" + body * (kind is not head_only), stays)}


@pytest.mark.parametrize(
    ("kind", "fields", "body"),
    [
        (modern, b"transfer-encoding: chunked\r\n", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
        (old, b"connection: close\r\n", b"abc"),
        (head_only, b"", b""),
        (early, b"transfer-encoding: chunked\r\nconnection: close\r\n", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
    ],
)
def test_pieces_of_unstated_length_are_the_same_bytes_pushed_or_sent(
    kind: Callable[[AnswerWriter], None], fields: bytes, body: bytes
) -> None:
    for pushing in (True, False):
        paper = Paper()
        answer = writer(paper)
        kind(answer)
        answer.begin(200, [])
        for piece in (b"", b"a", b"bc"):
            if pushing:
                answer.push(piece)
            else:
                answer.write(piece, more=True)
        answer.write(b"", more=False)
        assert paper.written == HEAD + fields + b"\r\n" + body


@pytest.mark.parametrize("stated", [True, False])
def test_a_head_waits_for_the_body_whose_length_it_states_and_for_no_other(*, stated: bool) -> None:
    paper = Paper()
    answer = writer(paper)
    answer.begin(200, [(b"content-length", b"4")] if stated else [])
    assert (paper.written == b"") is stated
    answer.write(b"bo", more=True)
    assert paper.written.startswith(HEAD)
    answer.write(b"dy", more=False)
    assert paper.written.count(HEAD) == 1


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_states_none_and_gets_none(status: int) -> None:
    for way in WAYS:
        paper = Paper()
        answer = writer(paper)
        if way is at_once:
            answer.answer(status, FIELDS, b"body")
        else:
            answer.begin(status, [(b"content-length", b"4"), *FIELDS])
            answer.write(b"body", more=False)
        assert paper.written.endswith(b"GMT\r\na: b\r\nc: \r\n\r\n")


def test_the_servers_own_fields_are_heard_and_not_repeated() -> None:
    paper = Paper()
    answer = writer(paper)
    ours = [(b"transfer-encoding", b"chunked"), (b"connection", b"Close"), (b"content-length", b"1")]
    answer.begin(200, [*ours, *FIELDS])
    answer.write(b"x", more=False)
    assert paper.written == HEAD + b"a: b\r\nc: \r\ncontent-length: 1\r\nconnection: close\r\n\r\nx"
    assert not answer.keep_alive


@pytest.mark.parametrize(("sent", "more"), [(b"short", False), (b"much too long", True), (b"much too long", False)])
def test_a_body_that_is_not_as_long_as_stated_is_refused_and_the_answer_can_be_cut(sent: bytes, more: bool) -> None:  # noqa: FBT001 -- a case
    paper = Paper()
    answer = writer(paper)
    answer.begin(200, [(b"content-length", b"10")])
    with pytest.raises(RuntimeError, match="content-length"):
        answer.write(sent, more=more)
    answer.cut()
    assert (paper.written, paper.ended) == (HEAD + b"content-length: 10\r\n\r\n", "closed")


@pytest.mark.parametrize(("kind", "ended"), [(modern, "closed"), (old, "reset")])
def test_a_cut_answer_ends_so_that_nobody_takes_it_for_a_whole_one(
    kind: Callable[[AnswerWriter], None], ended: str
) -> None:
    paper = Paper()
    answer = writer(paper)
    kind(answer)
    answer.begin(200, [])
    answer.push(b"a part")
    answer.cut()
    assert paper.ended == ended
    assert not paper.written.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\0", b"\r\nset-cookie: evil=1"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_field_that_holds_a_line_break_or_a_nul_is_refused_before_anything_is_written(bad: bytes, place: int) -> None:
    field = [b"name", b"value"]
    field[place] += bad
    headers = [(b"a", b"b"), (field[0], field[1]), (b"c", b"d")]
    with pytest.raises(RuntimeError, match="line break or a NUL"):
        whole(200, headers, b"")
    paper = Paper()
    answer = writer(paper)
    with pytest.raises(RuntimeError, match="line break or a NUL"):
        answer.begin(200, headers)
    assert (paper.written, answer.started) == (b"", False)
    answer.answer(500, [], b"another")
    assert paper.written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
