"""Is an answer read as another library reads it, and its connection kept only where that would be? aiohttp's parser."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParserPy
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.asgi import Headers
from gateway.core.chunks import sole_chunk
from gateway.upstream.answer import Answer
from gateway.upstream.parser import BadAnswerError, Parser
from gateway.upstream.usual import UsualAnswer
from tests.fuzz.damage import CUTS, LINE_BYTES, crossed, damaged, pieces
from tests.fuzz.effort import examples

FRAMING = [
    *(b"content-length: 5", b"Content-Length: 5", b"content-length: 3", b"content-length: 05", b"content-length: 5 "),
    *(
        b"content-length: +5",
        b"content-length: 5, 5",
        b"content-length: -5",
        b"content-length:",
        b"content-length: 0x5",
    ),
    *(b"transfer-encoding: chunked", b"Transfer-Encoding: Chunked ", b"transfer-encoding: gzip, chunked"),
    *(b"transfer-encoding: chunked, chunked", b"transfer-encoding: identity", b"transfer-encoding:\tchunked"),
    *(b"transfer-encoding: xchunked", b"transfer-encoding: chunked;a=b", b"transfer-encoding:", b"te: chunked"),
]
OTHERS = [
    *(b"connection: close", b"connection: keep-alive", b"Connection: keep-alive, close", b"connection: x-a, X-B"),
    *(b"connection: upgrade", b"upgrade: h2c", b"connection:", b"connection: ,", b"proxy-connection: close"),
    *(b"connection: content-length", b"connection: transfer-encoding", b"x-a: 1", b"x-b:", b"x-c: a b\tc", b"x-d:e"),
    *(
        b"content-type: application/json",
        b"server: uvicorn",
        b"date: now",
        b"Date: now",
        b"keep-alive: 5",
        b"x-e: \xe9",
    ),
    *(b"x f: 1", b"x-g : 1", b" x-h: 1", b"x-i: a\0b", b"x-j: a\rb", b": empty", b"no colon", b"x-\xff: 1", b"(x): 1"),
]
STATUS_LINES = [
    *([b"HTTP/1.1 200 OK"] * 6),
    *(b"HTTP/1.1 404 Not Found", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.0 200 OK"),
    *(
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"http/1.1 200 OK",
    ),
    *(b"HTTP/1.1 101 Upgrade", b"HTTP/1.1 200 \xff", b"HTTP/2 200 OK", b"HTTP/1.2 200 OK", b"HTTP/1.1 +20 OK", b""),
    *(b"HTTP/1.1 599 Odd", b"HTTP/1.1 600 Odd", b"HTTP/1.1 000 Odd", b"ICE/1.0 200 OK", b"HTTP/1.1\t200 OK"),
]
BODIES = [
    *(b"hello", b"", b"5\r\nhello\r\n0\r\n\r\n", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    *(
        b"5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
        b"05\r\nhello\r\n00\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
    ),
    *(
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"-5\r\n",
    ),
    *(
        b"5\r\nhello\r\n0\r\ncontent-length: 9\r\n\r\n",
        b"ffffffffffffffffff\r\nhello",
        b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    ),
]
AFTER = [*([b""] * 6), b"\r\n", b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"\0"]
WORDS = [*LINE_BYTES, *FRAMING, *OTHERS, b"5\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"\r\ncontent-length: 3\r\n"]
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-authentication-info proxy-connection te "
    b"trailer transfer-encoding upgrade server date".split()
)
"""As `protocol.Reply` says."""
HARMLESS = re.compile("Duplicate '(?!content-length|transfer-encoding)", re.IGNORECASE)
FOREIGN = re.compile(rb"\r\n(?:RTSP|ICE)/")
METHODS = st.sampled_from([b"POST", b"POST", b"POST", b"GET", b"HEAD"])


@st.composite
def composed(draw: st.DrawFn) -> bytes:
    """An answer of parts that mean something, whether they go together or not."""
    interim = draw(
        st.sampled_from([b"", b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hint\r\nx-a: 1\r\n\r\n"])
    )
    fields = draw(st.lists(st.sampled_from(OTHERS), max_size=3)) + draw(st.lists(st.sampled_from(FRAMING), max_size=2))
    head = b"\r\n".join([draw(st.sampled_from(STATUS_LINES)), *draw(st.permutations(fields)), b"", b""])
    return interim + head + draw(st.sampled_from(BODIES)) + draw(st.sampled_from(AFTER))


SOUND = [
    b"HTTP/1.1 200 OK\r\ndate: now\r\nserver: uvicorn\r\ncontent-length: 5\r\ncontent-type: text/plain\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ndate: now\r\nserver: uvicorn\r\ncontent-length: 12\r\nx: y\r\n\r\ntwelve bytes",
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-A: 1\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n",
]
AGAIN = st.builds(
    lambda stated, body: SOUND[0].partition(b"\r\n\r\n")[0].replace(b"h: 5", b"h: " + stated) + b"\r\n\r\n" + body,
    st.sampled_from([b"5", b"5", b"12", b"0", b"05", b"+5", b"5 ", b" 5", b"5_0", b"0x5", b"", b"\xb2", b"9" * 16]),
    st.sampled_from([b"hello", b"hello", b"twelve bytes", b"", b"hell", b"hello\r\n"]),
)
"""A head that is known but for its length, and bodies of that length or not."""
STREAM = SOUND[3].partition(b"5\r\n")[0]
CHUNKS = st.lists(
    st.sampled_from([b"5\r\nhello\r\n", b"7\r\n4\r\n4\r\n\r\n", b"1", b"0\r\n\r\n", b"a\r\nxx\r\n1\r\ny\r\n\r\n"]),
    max_size=5,
)
STREAMS = st.builds(lambda parts: STREAM + b"".join(parts) + b"0\r\n\r\n", CHUNKS)
"""Chunks that hold what looks like chunks."""
ANSWERS = damaged(composed() | crossed(SOUND) | st.sampled_from(SOUND), WORDS, most=2)


@dataclass
class Opinion:
    """What a parser makes of the bytes of a connection, up to the end of its first answer.

    `kept` says that another request may follow on the connection, `whole` that the answer ended cleanly.
    """

    status: int = 0
    headers: Headers | None = None
    body: bytes = b""
    whole: bool = False
    kept: bool = False


def fed(answer: Answer, parts: Sequence[bytes], *, shortly: bool = False) -> Opinion:
    """As `Connection` reads: a chunk that comes by itself is not given to the parser where it need not be."""
    body = []
    try:
        for part in parts:
            chunk = sole_chunk(part) if shortly and answer.between_chunks and not answer.pieces else b""
            if chunk:
                body.append(chunk)
                continue
            answer.feed(part)
            if shortly:
                body.append(answer.take())
        kept = answer.complete and answer.reusable
        answer.eof()
    except BadAnswerError:
        return Opinion()
    return Opinion(answer.status, answer.headers, b"".join([*body, answer.take()]), answer.complete, kept)


def ours(data: bytes, method: bytes) -> Opinion:
    return fed(Answer(Parser(), method), [data])


class Strict(HttpResponseParserPy):
    """aiohttp's own parser as it is in a program that is being debugged."""

    lax = False


def theirs(data: bytes, method: bytes) -> Opinion | None:
    """aiohttp's: interim answers are skipped as its client does. None where it has none that counts here.

    It refuses some fields that come twice though they frame nothing (Server, Content-Type). And behind an interim
    answer llhttp takes other protocols' names for HTTP's (RTSP, ICE), of which nothing tells us there.
    """
    if FOREIGN.search(data):
        return None
    loop = asyncio.new_event_loop()
    bodiless = method == b"HEAD"
    parser: Any = Strict(
        BaseProtocol(loop),
        loop,
        1 << 18,
        max_line_size=60_000,
        max_field_size=60_000,
        method=method.decode(),
        response_with_body=not bodiless,
        read_until_eof=not bodiless,
        auto_decompress=False,
    )
    messages: list[Any] = []
    upgraded, rest = False, b""
    try:
        for at in range(len(data)):  # byte by byte: what comes behind an answer is refused behind it
            if messages and messages[0][1].is_eof():
                rest = data[at:]
                break
            found, upgraded, _ = parser.feed_data(data[at : at + 1], b"\r\n")
            messages += [(message, body) for message, body in found if message.code >= 200 or message.code == 101]
        if upgraded or not messages:
            return Opinion()
        message, body = messages[0]
        kept = body.is_eof() and not message.should_close and not rest.strip(b"\r\n")
        parser.feed_eof()
        if body.exception() is not None:
            return Opinion()
    except HttpProcessingError as error:
        return None if HARMLESS.search(error.message) else Opinion()
    finally:
        loop.close()
    connection = [value for name, value in message.raw_headers if name.lower() == b"connection"]
    named = {token.strip(b" \t").lower() for value in connection for token in value.split(b",")}
    gone = HOP_BY_HOP | (named - {b"content-length"})
    fields = [(name.lower(), value) for name, value in message.raw_headers if name.lower() not in gone]
    return Opinion(message.code, fields, b"".join(getattr(body, "_buffer", ())), body.is_eof(), kept)


@examples(600)
@given(ANSWERS | AGAIN | STREAMS, METHODS)
def test_a_whole_answer_is_one_to_aiohttp_too_and_says_the_same(data: bytes, method: bytes) -> None:
    mine, other = ours(data, method), theirs(data, method)
    if mine.whole and other is not None:
        assert other.whole
        assert (mine.status, mine.headers, mine.body) == (other.status, other.headers, other.body)


@examples(600)
@given(ANSWERS | AGAIN | STREAMS, METHODS)
@example(STREAM + b"0\r\n\r\n", b"HEAD")
def test_a_connection_is_kept_only_where_aiohttp_would_keep_it(data: bytes, method: bytes) -> None:
    mine, other = ours(data, method), theirs(data, method)
    assert other is None or mine.kept <= other.kept


@examples(400)
@given(st.lists(AGAIN | STREAMS | ANSWERS, min_size=1, max_size=5), st.data(), METHODS)
@example([SOUND[1]], None, b"POST")
def test_with_all_that_a_backends_connections_remember_each_answer_is_read_as_if_it_were_the_first(
    answers: list[bytes], source: st.DataObject | None, method: bytes
) -> None:
    remembered = UsualAnswer()
    parser = Parser(remembered)
    for data in (SOUND[0], *answers):
        cuts = source.draw(CUTS) if source else []
        learned = fed(Answer(parser, method), pieces(data, cuts), shortly=True)
        fresh = ours(data, method)
        if fresh.whole or learned.whole:
            assert (learned.status, learned.headers, learned.body) == (fresh.status, fresh.headers, fresh.body)
        assert learned.whole is fresh.whole
        assert learned.kept <= fresh.kept
        if not learned.kept or not parser.clean:
            parser = Parser(remembered)
