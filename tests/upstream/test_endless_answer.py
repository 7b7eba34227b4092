"""A backend that never comes to the point is given up: what frames an answer may be 64 KiB long, not endless."""

import pytest

from gateway.upstream.answer import Answer
from gateway.upstream.errors import MayHaveRun
from gateway.upstream.parser import BadAnswerError
from tests.upstream.backend import Backend, Peer
from tests.upstream.conftest import Opener
from tests.upstream.ends import POST, exchange

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


@pytest.mark.anyio
async def test_a_flood_of_interim_answers_ends(open_client: Opener) -> None:
    def floods(peer: Peer) -> None:
        peer.request()
        while True:
            peer.say(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with Backend(floods) as backend:
        with pytest.raises(MayHaveRun) as caught:
            await exchange(open_client(), backend)
        assert caught.value.reason == "head_too_large"


@pytest.mark.anyio
@pytest.mark.parametrize("part", [b"a" * 1000, b"x: y\r\n" * 200])
async def test_endless_trailers_and_chunk_extensions_end(open_client: Opener, part: bytes) -> None:
    start = b"0\r\n" if b"\r\n" in part else b"1;"

    def floods(peer: Peer) -> None:
        peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + start)
        while True:
            peer.say(part)

    with Backend(floods) as backend:
        reply = await open_client().send(backend.address, POST)
        with pytest.raises(MayHaveRun) as caught:
            await reply.read()
        assert caught.value.reason == "malformed"
        reply.close()
