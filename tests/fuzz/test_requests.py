"""Is a client's request read as another library reads it, and one with a known head as if no head were known?"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import uvloop
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParserPy
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.asgi import Headers, Receive, Scope, Send
from gateway.server.usual import UsualRequests
from tests.fuzz.damage import CUTS, LINE_BYTES, crossed, damaged, pieces
from tests.fuzz.effort import examples
from tests.server.door import reply
from tests.server.test_usual import Noting
from tests.server.test_usual import same as assert_same
from tests.server.visit import Visit

HEADS = [
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\nAuthorization: Bearer sk-1\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\nAuthorization: Bearer sk-2\r\n\r\n",
    b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: a.test\r\nX-Length: 5\r\ncontent-length: %d\r\n\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\ncontent-length: %d\r\nX-Strength: 7\r\n\r\n",
    b"POST /v1/messages HTTP/1.1\r\nHost: a.test\r\nContent-length: %d\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nX-Length: \r\nContent-Length: %d\r\n\r\n",
    b"POST http://a.test/v1/a%%20b HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\nX-Note: length: 5\r\n\r\n",
]
NEVER_LEARNED = [
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: %d\r\n\r\n",
    b"POST /v1/a HTTP/1.0\r\nContent-Length: %d\r\n\r\n",
    b"PUT /v1/a HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0%d\r\n\r\n",
]
OTHERS = [
    b"POST /v1/a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test \t\r\nX-A: \t b \r\nX-B: \r\nContent-Length: 3 \r\n\r\nabc",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked \t \r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \t\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nX-Length: 45\r\nContent-Length: \r\n\r\n" + b"x" * 45,
    b"POST /v1/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nx-t: 1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"HEAD /health HTTP/1.0\r\n\r\n",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /v1/a HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
]
FRAMING = [
    *(b"\r\nContent-Length: 3", b"\r\ncontent-length: 5", b"\r\nContent-Length: +3", b"\r\nContent-Length : 3"),
    *(b"\r\nTransfer-Encoding: chunked", b"\r\nTransfer-Encoding: xchunked", b"\r\nTransfer-Encoding:\x0bchunked"),
    *(
        b"\r\nTransfer-Encoding: chunked, identity",
        b"\r\nTransfer_Encoding: chunked",
        b"\r\nHost: b.test",
        b"\r\nHost:",
    ),
    *(
        b"\r\nConnection: close",
        b"\r\nX-A: 1",
        b"\r\n X-Folded: 1",
        b"\r\n\tX",
        b"HTTP/1.0",
        b"HTTP/1.2",
        b"POST",
        b"/",
    ),
    *(b"\r\nUpgrade: h2c\r\nConnection: upgrade", b"#", b"?", b"%00", b"//", b"@", b"*", b"3\r\nabc\r\n", b"0\r\n\r\n"),
]
WORDS = [
    *LINE_BYTES,
    *FRAMING,
    b"99999999999999999999",
    b"length: 3\r",
    b"X-Length: 5\r\n",
    b"\r\n\r\nGET /x HTTP/1.1\r\n",
]


BLANKS = re.compile(rb" +")


def request_of(head: bytes, size: int) -> bytes:
    return head % size + b"x" * size


SIZES = st.sampled_from([1, 3, 9, 10, 45, 264, 1000])
KNOWN = st.builds(request_of, st.sampled_from(HEADS), SIZES)
SIMILAR = st.builds(
    lambda head, stated, size: head.replace(b"%d", stated) % () + b"x" * size,
    st.sampled_from(HEADS),
    st.sampled_from([b"45", b"045", b"+45", b" 45", b"45 ", b"4_5", b"1", b"264", b"0", b"", b"9" * 16, b"9" * 21]),
    SIZES,
)
"""Known but for what is stated as the length, and bodies of that length or not."""
COUNTED = st.builds(
    lambda head, size: head % (len(head) + 1 + 2 * size) + b"x" * size, st.sampled_from(HEADS[:2]), st.integers(1, 20)
)
"""Of a length that leads, counted from the bytes' end, to the end of their head."""
TAUGHT = [request_of(head, 45) for head in HEADS + NEVER_LEARNED]
SAMPLES = [*TAUGHT, *OTHERS]
REQUESTS = st.one_of(
    KNOWN,
    SIMILAR,
    COUNTED,
    st.sampled_from(OTHERS),
    st.sampled_from(SAMPLES),
    damaged(KNOWN | crossed(SAMPLES) | st.sampled_from(OTHERS), WORDS),
)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await work()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())


async def who_knows_them() -> Noting:
    """The memory of a worker that has read all those heads twice."""
    memory = Noting()
    for data in TAUGHT:
        for _ in range(2):
            await (await Visit(memory).send(data)).outcome()
    assert len(memory._known) == len(HEADS)
    return memory


@examples(150)
@given(st.lists(REQUESTS, min_size=1, max_size=4), CUTS, st.booleans())
def test_who_knows_many_heads_reads_any_bytes_like_who_knows_none(
    requests: list[bytes],
    cuts: list[int],
    apart: bool,  # noqa: FBT001 -- hypothesis gives arguments by position
) -> None:
    async def compare() -> None:
        memory = await who_knows_them()
        await assert_same(memory, *(filter(None, requests) if apart else pieces(b"".join(requests), cuts)))

    run(compare)


class Read(NamedTuple):
    """A request as an application would be told of it."""

    method: str
    target: bytes
    headers: Headers
    body: bytes


@dataclass
class Listening(Visit):
    """Notes the requests whose bodies came whole."""

    read: list[Read] = field(default_factory=list)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        target = scope["raw_path"] + b"?" + scope["query_string"]
        self.read.append(Read(scope["method"], target, scope["headers"], body))
        await reply(send, b"")


async def ours(data: bytes) -> list[Read]:
    """What our applications are told, of requests whose bodies came whole."""
    visit = Listening(UsualRequests(0))
    await (await visit.send(data)).outcome()
    return visit.read


def theirs(data: bytes) -> Read | None:
    """What aiohttp's would be told of the first request; None where it is none to it, or not whole.

    In a request line llhttp takes several blanks for one, and we pass over line ends before it: RFC 9112, sections 2.2
    and 3 allow both.
    """
    line, end, rest = data.lstrip(b"\r\n").partition(b"\r\n")
    data = BLANKS.sub(b" ", line) + end + rest
    loop = asyncio.new_event_loop()
    parser: Any = HttpRequestParserPy(
        BaseProtocol(loop), loop, 1 << 18, max_line_size=60_000, max_field_size=60_000, auto_decompress=False
    )
    messages: list[Any] = []
    try:
        for at in range(len(data)):  # byte by byte: what comes behind a request is refused behind it
            messages += parser.feed_data(data[at : at + 1])[0]
            if messages and messages[0][1].is_eof():
                break
    except HttpProcessingError:
        return None
    finally:
        loop.close()
    if not messages or not messages[0][1].is_eof() or messages[0][1].exception() is not None:
        return None
    message, body = messages[0]
    fields = [(name.lower(), value) for name, value in message.raw_headers]
    target = f"{message.url.raw_path}?{message.url.raw_query_string}".encode()
    return Read(message.method, target, fields, b"".join(getattr(body, "_buffer", ())))


@examples(300)
@given(damaged(st.sampled_from(SAMPLES) | crossed(SAMPLES), WORDS).filter(len))
def test_a_request_that_is_run_is_the_one_that_aiohttp_reads(data: bytes) -> None:
    async def compare() -> None:
        mine = await ours(data)
        if mine:
            assert mine[0] == theirs(data)

    run(compare)
