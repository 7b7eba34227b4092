"""A head that repeats is recognised, and what is recognised is what llhttp would have read."""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.core.asgi import FIELDS_EXTENSION, Headers, fields_of
from gateway.server.head import MAX_HEADERS
from gateway.server.protocol import PARSED_BYTES
from gateway.server.usual import MAX_DIGITS, MAX_FIELDS, MAX_HEAD_BYTES, MAX_HEADS, MAX_SEEN, UsualRequests
from tests.server.visit import Visit

SDK = (
    b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: gateway.test\r\nX-Forwarded-For: 203.0.113.7\r\n"
    b"Content-Length: %d\r\nAuthorization: Bearer sk-one\r\nContent-Type: application/json\r\n\r\n"
)
LINE = {"method": "POST", "http_version": "1.1", "path": "/", "raw_path": b"/", "query_string": b""}
SPOILERS = [
    *[b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"0", b"7", b"99999999999999999999", b" ", b"\t", b":", b"\0", b"\xff"],
    *[b"\r\nContent-Length: 3", b"\r\nTransfer-Encoding: chunked", b"\r\nConnection: close", b"X-Length: 5\r\n"],
    b"\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nX: ",
]
SPELLINGS = [b"Content-Length", b"content-length", b"Content-length"]
NAMES = st.sampled_from([b"accept", b"X-Length", b"x-strength", b"Authorization", b"x-one", b"X-One", b"Cookie"])
VALUES = st.sampled_from([b"", b"5", b"264", b"a", b"Content-Length: 5", b"length: 5", b"a b\tc", b"x" * 60, b"\xe9"])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
WOUNDS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 3), st.sampled_from(SPOILERS)), max_size=4)
CUTS = st.lists(st.integers(1, 600), max_size=5)


def request_of(size: int, head: bytes = SDK) -> bytes:
    return head % size + b"x" * size


def pieces_of(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    return (data[begin:end] for begin, end in pairwise([0, *sorted(cuts), len(data)]) if data[begin:end])


class Noting(UsualRequests):
    """Counts what it recognises."""

    __slots__ = ("hits",)

    def __init__(self, max_header_bytes: int = 65536) -> None:
        super().__init__(max_header_bytes)
        self.hits = 0

    def find(self, data: bytes) -> Any:
        found = super().find(data)
        self.hits += found is not None
        return found


async def taught(data: bytes, limit: int = 65536) -> Noting:
    """What is remembered after a request that came twice."""
    usual = Noting(limit)
    for _ in range(2):
        await (await Visit(usual, limit).send(data)).outcome()
    assert not usual.hits
    return usual


async def recognised(usual: Noting, *pieces: bytes) -> int:
    """How many requests of a new connection were read without llhttp."""
    before = usual.hits
    await (await Visit(usual).send(*pieces)).outcome()
    return usual.hits - before


async def same(usual: UsualRequests, *pieces: bytes, limit: int = 65536) -> Any:
    """What comes of these pieces, which has to be the same where nothing is ever learned."""
    learned = await (await Visit(usual, limit).send(*pieces)).outcome()
    assert learned == await (await Visit(UsualRequests(0), limit).send(*pieces)).outcome()
    return learned


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 9, 264, 60_000])
async def test_a_head_that_repeats_is_not_read_again_whatever_its_length(size: int) -> None:
    usual, data = await taught(request_of(264)), request_of(size)
    assert await recognised(usual, data, data) == 2
    scopes, bodies, *_ = await same(usual, data, data)
    assert bodies == [b"x" * size] * 2
    assert (b"content-length", b"%d" % size) in scopes[1]["headers"]


@pytest.mark.anyio
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_length_may_be_spelt_in_any_way_and_stand_anywhere(spelling: bytes) -> None:
    last = SDK.replace(b"Content-Length: %d\r\n", b"")[:-2] + spelling + b": %d\r\n\r\n"
    for head in (SDK.replace(b"Content-Length", spelling), last):
        usual = await taught(request_of(264, head))
        assert await recognised(usual, request_of(3, head)) == 1
        await same(usual, request_of(3, head))


@pytest.mark.anyio
@pytest.mark.parametrize(
    "head",
    [
        SDK.replace(b"sk-one", b"sk-two"),
        SDK.replace(b"POST", b"PUT"),
        SDK.replace(b"?a=b", b"?a=c"),
        SDK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        SDK.replace(b"Content-Length", b"content-length"),
        SDK.replace(b"%d", b"%d "),
        SDK.replace(b"%d", b" %d"),
        SDK.replace(b"%d", b"+%d"),
        SDK.replace(b"%d", b"0%d"),
        SDK.replace(b"%d", b"000000000000000%d"),
        SDK.replace(b"%d\r\n", b"%d\r\nExpect: 100-continue\r\n"),
        SDK.replace(b"%d\r\n", b"%d\r\nContent-Length: 3\r\n"),
        SDK.replace(b"%d\r\n", b"%d\r\nTransfer-Encoding: chunked\r\n"),
        SDK.replace(b"\r\n", b"\n"),
        b"\r\n" + SDK,
    ],
)
async def test_a_head_that_differs_is_read_as_if_it_were_the_first(head: bytes) -> None:
    usual, data = await taught(request_of(264)), request_of(123, head)
    assert await recognised(usual, data) == 0
    await same(usual, data, request_of(5))


@pytest.mark.anyio
async def test_a_body_of_another_length_than_stated_is_not_recognised() -> None:
    usual = await taught(request_of(264))
    for stated in [*range(1, 700), 10**14, 10**15, 10**16, 10**20]:
        data = SDK % stated + b"x" * 150
        assert await recognised(usual, data) == (stated == 150)
        await same(usual, data)


@pytest.mark.anyio
async def test_a_number_in_another_place_makes_no_known_head() -> None:
    head = SDK.replace(b"Content-Length", b"X-Length: \r\nContent-Length")
    usual = await taught(request_of(264, head))
    assert await recognised(usual, request_of(3, head)) == 1
    moved = head.replace(b"%d", b"").replace(b"X-Length: ", b"X-Length: 3") + b"xxx"  # the same but for the digits
    assert await recognised(usual, moved) == 0
    await same(usual, moved)


@pytest.mark.anyio
@pytest.mark.parametrize("after", [b"\r\n", b"x", b"\0", request_of(3), b"POST"])
async def test_what_stands_behind_a_body_is_left_to_the_parser(after: bytes) -> None:
    usual = await taught(request_of(264))
    assert await recognised(usual, request_of(9) + after) == 0
    await same(usual, request_of(9) + after, request_of(9))
    await same(usual, request_of(9), after, request_of(9))
    full = PARSED_BYTES - len(SDK % 10**4)  # what is parsed at once ends with the request
    await same(usual, request_of(full) + after)


@pytest.mark.anyio
async def test_a_request_that_comes_in_two_pieces_is_neither_learned_nor_recognised() -> None:
    usual, data = await taught(request_of(264)), request_of(34)
    for cut in range(1, len(data)):
        halves = list(pieces_of(data, [cut]))
        new = Noting()
        assert await recognised(new, *halves, *halves, *halves) == 0
        assert not new._known
        assert await recognised(usual, *halves) == 0
        await same(usual, *halves)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "head",
    [
        *[SDK.replace(b"POST", method) for method in (b"GET", b"PUT", b"HEAD", b"OPTIONS")],
        SDK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        *[
            SDK.replace(b"%d\r\n", b"%d\r\n" + line + b"\r\n")
            for line in (
                *[b"Connection: keep-alive", b"Connection: close", b"Proxy-Connection: x", b"Expect: 100-continue"],
                *[b"Upgrade: h2c", b"Connection: Upgrade\r\nUpgrade: h2c", b"X: " + b"x" * MAX_HEAD_BYTES],
            )
        ],
        SDK.replace(b"%d", b"%d "),
        SDK.replace(b"%d", b"00%d"),
        SDK.replace(b"Content-Length: ", b"Content-Length:"),
    ],
)
async def test_what_says_more_than_its_length_is_not_learned(head: bytes) -> None:
    usual = await taught(request_of(264, head))
    assert not usual._known
    assert await recognised(usual, request_of(264, head)) == 0


@pytest.mark.anyio
@pytest.mark.parametrize("beyond", [0, 1])
async def test_a_head_of_many_fields_is_not_learned(beyond: int) -> None:
    more = MAX_FIELDS - SDK.count(b": ") + beyond
    head = SDK.replace(b"Host", b"".join(b"X-%d: x\r\n" % number for number in range(more)) + b"Host")
    usual = await taught(request_of(264, head))
    assert len(usual._known) == 1 - beyond
    await same(usual, request_of(3, head))


@pytest.mark.anyio
@pytest.mark.parametrize("letters", [b"%C3%A9", b"%F0%9F%98%80"])
async def test_a_path_beyond_ascii_is_not_learned(letters: bytes) -> None:
    usual = await taught(request_of(264).replace(b"completions", letters))
    assert not usual._known


LAST_LINES = b" HTTP/1.1\r\nHost: a\r\nContent-Length: 1"
FIELD = b"\r\nX-%02d: " + b"x" * ((MAX_HEAD_BYTES - 60) // (MAX_FIELDS - 2) - 8)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "head",
    [
        b"POST /%d" + LAST_LINES + b"".join(FIELD % number for number in range(MAX_FIELDS - 2)),
        b"POST /%d" + LAST_LINES + (FIELD % 0) * (MAX_FIELDS - 2),
        b"POST /%%20%d" + b"x" * (MAX_HEAD_BYTES - 60) + LAST_LINES,
    ],
    ids=["many names", "one name", "a path"],
)
async def test_what_is_known_of_the_largest_head_takes_less_than_18_kb(head: bytes) -> None:
    usual = Noting()
    tracemalloc.start()
    try:
        for number in range(100, 120):
            for _ in range(2):
                await (await Visit(usual).send(head % number + b"\r\n\r\nx")).outcome()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        assert len(usual._known) == 20
        usual._known.clear()
        gc.collect()
        taken = before - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 10_000 < taken / 20 < 18_000


@pytest.mark.anyio
async def test_chunks_are_not_learned() -> None:
    data = SDK.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"
    assert not (await taught(data))._known


@pytest.mark.anyio
@pytest.mark.parametrize("spare", [0, MAX_DIGITS, MAX_HEADERS, MAX_HEADERS + MAX_DIGITS + 3, 300])
async def test_the_bound_of_a_head_holds_for_one_that_repeats(spare: int) -> None:
    head = SDK.replace(b"sk-one", b"sk-" + b"x" * 1024)
    limit = len(head % 1) + spare
    usual = await taught(request_of(1, head), limit)
    assert bool(usual._known) == (spare > MAX_HEADERS + MAX_DIGITS)
    for size in (1, 10, 1000, 60_000):
        await same(usual, request_of(size, head), limit=limit)


@pytest.mark.anyio
async def test_the_end_of_a_head_that_came_in_two_pieces_is_no_head() -> None:
    first = b"POST /v1/a HTTP/1.1\r\nHost: gateway.test\r\nX-Length: 5\r\nX-Two: lines"  # as long as it says
    rest = b"\r\nContent-Length: 3\r\n\r\nabc"
    usual = Noting()
    assert await recognised(usual, *[first, rest] * 3) == 0
    assert not usual._known
    await same(usual, request_of(3), rest)


@pytest.mark.parametrize(
    ("head", "lengths"),
    [
        (SDK, [b"4"]),
        (SDK, [b"05"]),
        (SDK, [b"5", b"5"]),
        (SDK.replace(b"Host", b"X-Length: 5\r\nHost").replace(b"%d", b"%d "), [b"5"]),
    ],
)
def test_what_the_parser_read_otherwise_is_not_learned(head: bytes, lengths: list[bytes]) -> None:
    usual, data = Noting(), request_of(5, head)
    for _ in range(3):
        assert usual.find(data) is None
        usual.learn(data, LINE, [(b"content-length", length) for length in lengths])
    assert not usual._known


def test_what_was_not_looked_for_is_not_learned() -> None:
    usual = Noting()
    for _ in range(3):
        usual.learn(request_of(5), LINE, [(b"content-length", b"5")])
    assert not usual._known


@pytest.mark.anyio
async def test_what_one_request_does_to_its_headers_no_other_sees() -> None:
    usual, data = await taught(request_of(264)), request_of(3)
    visit = await Visit(usual).send(data, request_of(45))
    one, other = visit.scopes
    for scope in (one, other):
        fields = scope["extensions"][FIELDS_EXTENSION]
        assert fields == fields_of(scope["headers"])
        fields.clear()
        scope["headers"].clear()
        scope["state"]["x"] = 1
        scope["path"] = "/elsewhere"
    await same(usual, data)


@pytest.mark.anyio
async def test_a_drain_closes_behind_a_recognised_request() -> None:
    usual = await taught(request_of(264))
    visit = Visit(usual)
    visit.protocol.shutdown()
    await visit.send(request_of(3))
    assert usual.hits == 1
    assert b"connection: close" in visit.wire.written
    assert visit.wire.ended == "closed"


@pytest.mark.anyio
async def test_heads_that_never_repeat_are_not_learned_and_the_tables_end() -> None:
    usual = Noting()
    headers: Headers = [(b"content-length", b"1")]
    for number in range(MAX_SEEN + 10):
        data = request_of(1, b"POST /%d HTTP/1.1\r\ncontent-length: %%d\r\n\r\n" % number)
        assert usual.find(data) is None
        usual.learn(data, LINE, headers)
        assert not usual._known
    assert len(usual._seen) <= MAX_SEEN
    for number in range(MAX_HEADS + 10):
        data = request_of(1, b"POST /a%d HTTP/1.1\r\ncontent-length: %%d\r\n\r\n" % number)
        for _ in range(2):
            assert usual.find(data) is None
            usual.learn(data, LINE, headers)
        assert usual.find(data) is not None
        assert len(usual._known) <= MAX_HEADS


@given(FIELDS, FIELDS, st.sampled_from([*SPELLINGS, b"CONTENT-LENGTH"]), st.integers(1, 300), WOUNDS, CUTS)
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([], [], b"Content-Length", 3, [], [])
@example([(b"X-Length", b"5")], [], b"Content-Length", 3, [(40, 3, b"")], [])
def test_who_has_learned_reads_like_who_has_not(
    before: Headers,
    after: Headers,
    spelling: bytes,
    size: int,
    wounds: list[tuple[int, int, bytes]],
    cuts: list[int],
) -> None:
    """Requests with a head that is known, whole or with bytes deleted or replaced, in any pieces, together or alone."""
    lines = [b"%b: %b\r\n" % line for line in [(b"Host", b"a.test"), *before]]
    rest = [b"%b: %b\r\n" % line for line in after]
    first, last = b"POST /v1/a HTTP/1.1\r\n" + b"".join(lines) + spelling + b": ", b"\r\n" + b"".join(rest) + b"\r\n"
    data = first + b"%d" % size + last + b"x" * size
    whole = data
    for at, length, spoiler in wounds:
        data = data[:at] + spoiler + data[at + length :]

    async def compare() -> None:
        usual = await taught(first + b"264" + last + b"x" * 264)
        await same(usual, *pieces_of(data + whole, cuts))
        await same(usual, whole, *pieces_of(data, cuts), whole)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(compare())
