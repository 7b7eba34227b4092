"""A backend that never comes to the point is given up: what frames an answer may be 64 KiB long, not endless."""

import pytest

from gateway.upstream.answer import Answer
from gateway.upstream.parser import BadAnswerError

BOUND = 65_536
"""Stated once more: a bound that somebody lifts must fail here."""
PIECE = 4096
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
ENDLESS = {
    "a head of one field": (b"HTTP/1.1 200 OK\r\nx: ", b"y" * PIECE),
    "a head of many fields": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * (PIECE // 6)),
    "a reason": (b"HTTP/1.1 200 ", b"y" * PIECE),
    "an extension of a chunk": (CHUNKED + b"5;x=", b"y" * PIECE),
    "a trailer": (CHUNKED + b"2\r\nok\r\n0\r\nx: ", b"y" * PIECE),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS.keys())
def test_framing_without_end_is_given_up_when_it_passes_its_bound(start: bytes, more: bytes) -> None:
    answer = Answer()
    answer.feed(start)
    fed = bytes_until_given_up(answer, more)
    assert BOUND - PIECE - len(start) < fed <= BOUND + PIECE


def bytes_until_given_up(answer: Answer, more: bytes) -> int:
    for pieces in range(1, 4 * BOUND // len(more)):
        try:
            answer.feed(more)
        except BadAnswerError:
            return pieces * len(more)
    raise AssertionError("nobody gave up")


def test_a_body_of_many_pieces_is_no_framing() -> None:
    answer = Answer()
    answer.feed(CHUNKED)
    body = b""
    for _ in range(4 * BOUND // PIECE):
        answer.feed(b"%x\r\n%b\r\n" % (PIECE, b"y" * PIECE))
        body += answer.take()
    answer.feed(b"0\r\n\r\n")
    assert answer.complete
    assert len(body) == 4 * BOUND
