"""Bytes become one answer, however they are split; aiohttp's own parser in Python is the second opinion."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParserPy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.core.asgi import Headers
from gateway.upstream.answer import Answer
from gateway.upstream.parser import HOP_BY_HOP, MAX_FIELDS, MAX_FRAMING_BYTES, BadAnswerError, Parser


@dataclass
class Outcome:
    """What a client is told: a head, a body, and how it ended."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    complete: bool = True


def pieces_of(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for cut in [*sorted(c % (len(data) + 1) for c in cuts), len(data)]:
        if cut > at:
            yield data[at:cut]
            at = cut


def ours(data: bytes, cuts: list[int] = []) -> Outcome:  # noqa: B006 -- never altered
    answer = Answer()
    try:
        for piece in pieces_of(data, cuts):
            answer.feed(piece)
        answer.eof()
    except BadAnswerError:
        pass
    return Outcome(answer.status, answer.headers, answer.take(), answer.complete)


def theirs(data: bytes) -> Outcome | None:
    """What aiohttp reads; None when it refuses. Interim answers are skipped as its client does."""
    loop = asyncio.new_event_loop()
    try:
        parser: Any = HttpResponseParserPy(
            BaseProtocol(loop), loop, 2**18, max_line_size=60_000, max_field_size=60_000, read_until_eof=True
        )
        messages, upgraded, _ = parser.feed_data(data)
        finals = [(message, body) for message, body in messages if message.code >= 200]
        if upgraded or not finals:
            return Outcome(complete=False)
        message, body = finals[0]
        parser.feed_eof()
        if body.exception() is not None:
            return None
        named = {t.strip().lower() for n, v in message.raw_headers if n.lower() == b"connection" for t in v.split(b",")}
        fields = [(name.lower(), value) for name, value in message.raw_headers]
        kept = [(name, value) for name, value in fields if name not in HOP_BY_HOP | (named - {b"content-length"})]
        return Outcome(message.code, kept, b"".join(getattr(body, "_buffer", ())), body.is_eof())
    except HttpProcessingError:
        return None
    finally:
        loop.close()


TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8).map(lambda t: b"x-" + t.encode())
VALUE = st.text("abc XYZ019;=,\"'", max_size=12).map(lambda t: t.encode().strip(b" "))
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=5)
CUTS = st.lists(st.integers(0, 5000), max_size=12)
BODY = st.binary(max_size=300)


def head(status: int, fields: Headers, interim: int) -> bytes:
    first = b"HTTP/1.1 100 Continue\r\n\r\n" * interim
    return first + b"HTTP/1.1 %d Word\r\n" % status + b"".join(b"%b: %b\r\n" % field for field in fields)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, Outcome]:
    """A whole, valid answer, and what it says."""
    status = draw(st.sampled_from([200, 201, 400, 404, 429, 500, 503, 599]))
    fields, body = draw(FIELDS), draw(BODY)
    start = head(status, fields, draw(st.integers(0, 2)))
    kind = draw(st.sampled_from(["length", "chunks", "close"]))
    if kind == "length":
        stated = (b"content-length", b"%d" % len(body))
        return start + b"content-length: %d\r\n\r\n" % len(body) + body, Outcome(status, [*fields, stated], body)
    if kind == "close":
        return start + b"connection: close\r\n\r\n" + body, Outcome(status, fields, body)
    extension = draw(st.sampled_from([b"", b";a", b";a=b"]))
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces_of(body, draw(CUTS)))
    last = b"0\r\n" + draw(st.sampled_from([b"", b"x-trailer: 1\r\n"])) + b"\r\n"
    return start + b"transfer-encoding: chunked\r\n\r\n" + chunks + last, Outcome(status, fields, body)


@given(answers(), CUTS)
@settings(max_examples=300, deadline=None)
def test_a_valid_answer_is_read_however_it_is_split(answer: tuple[bytes, Outcome], cuts: list[int]) -> None:
    data, expected = answer
    assert ours(data, cuts) == expected
    assert theirs(data) == expected


@given(st.lists(answers(), min_size=2, max_size=4), CUTS)
@settings(max_examples=200, deadline=None)
def test_a_parser_that_ended_clean_reads_the_next_answer_as_a_fresh_one_would(
    several: list[tuple[bytes, Outcome]], cuts: list[int]
) -> None:
    parser = Parser()
    for data, expected in several:
        answer = Answer(parser)
        for piece in pieces_of(data, cuts):
            answer.feed(piece)
        if not answer.complete:
            answer.eof()
        assert Outcome(answer.status, answer.headers, answer.take(), answer.complete) == expected
        assert answer.reusable <= parser.clean
        if not answer.reusable:
            parser = Parser()


def test_a_parser_is_not_clean_after_a_head_without_its_body() -> None:
    parser = Parser()
    Answer(parser, b"HEAD").feed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
    assert not parser.clean


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """An answer with a few bytes deleted, doubled or replaced."""
    data, _ = draw(answers())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        to = at + draw(st.integers(0, 3))
        data = (
            data[:at]
            + draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"0", b" ", b":", b"\0", b"\xff"]))
            + data[to:]
        )
    return data


@given(broken(), CUTS)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", [])
def test_a_broken_answer_is_judged_alike_however_it_is_split(data: bytes, cuts: list[int]) -> None:
    at_once, split = ours(data), ours(data, cuts)
    assert at_once.complete == split.complete
    if at_once.complete:
        assert at_once == split


@given(broken())
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_both_call_complete_is_the_same(data: bytes) -> None:
    mine, other = ours(data), theirs(data)
    if mine.complete and other is not None and other.complete:
        assert (mine.status, mine.body) == (other.status, other.body)
        assert mine.headers == other.headers


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"ICE/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"RTSP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (MAX_FIELDS + 1) + b"content-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_FRAMING_BYTES + b"\r\ncontent-length: 2\r\n\r\nok",
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_what_could_be_read_in_two_ways_is_refused(data: bytes, step: int) -> None:
    assert not ours(data, list(range(0, len(data), step)) if step < len(data) else []).complete


@pytest.mark.parametrize("after", [b"HTTP/1.1 200 OK\r\n", b"x", b"\0", b"0\r\n\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_bytes_after_the_end_spoil_the_connection_but_not_the_answer(after: bytes, *, together: bool) -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    clean, spoilt = Answer(), Answer()
    clean.feed(whole)
    for piece in [whole + after] if together else [whole, after]:
        spoilt.feed(piece)
    assert (clean.complete, clean.reusable) == (True, True)
    assert (spoilt.complete, spoilt.reusable) == (True, False)
    assert spoilt.take() == b"ok"
    assert spoilt.headers == [(b"content-length", b"2")]


@pytest.mark.parametrize("named", [b"x-a", b"close, X-A", b"keep-alive ,x-a\t"])
def test_what_connection_names_goes_and_content_length_stays(named: bytes) -> None:
    found = ours(b"HTTP/1.1 200 OK\r\nx-a: 1\r\nx-b: 2\r\ncontent-length: 0\r\nconnection: " + named + b"\r\n\r\n")
    assert found.headers == [(b"x-b", b"2"), (b"content-length", b"0")]
    forged = ours(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: content-length\r\n\r\n")
    assert forged.headers == [(b"content-length", b"0")]


@pytest.mark.parametrize("interim", [b"HTTP/1.1 103 Early Hints\r\n", b"HTTP/1.1 100 Continue\r\n"])
def test_what_an_interim_answer_states_of_a_length_is_not_the_final_ones(interim: bytes) -> None:
    answer = Answer()
    answer.feed(interim + b"content-length: 3\r\nlink: x\r\n\r\n")
    answer.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n")
    assert (answer.status, answer.headers, answer.content_length) == (200, [], None)
    assert (answer.take(), answer.complete) == (b"whole", True)


def test_a_finished_answer_holds_no_parser() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert answer._parser is None
