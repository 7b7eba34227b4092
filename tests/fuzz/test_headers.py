"""Is what goes up and down the wire one head, and no more in it than was to be? Another library reads it back."""

import asyncio
from typing import Any

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParserPy
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.asgi import Headers, fields_of
from gateway.upstream.address import Address
from gateway.upstream.head import HeadWriter
from gateway.upstream.protocol import UpstreamRequest
from tests.fuzz.damage import LINE_BYTES
from tests.fuzz.effort import examples

ADDRESS = Address.parse("http://chat0:8000/base")
NAMES = st.sampled_from([b"content-type", b"authorization", b"x-a", b"metadata", b"set-cookie", b"x-request-id"])
VALUES = st.lists(
    st.sampled_from([*LINE_BYTES, b"a", b"Bearer sk-1", b"\r\nx-b: 1", b"\r\n\r\nGET / HTTP/1.1", b"\xe9", b"a b"]),
    max_size=3,
).map(lambda parts: b"".join(parts).strip(b" \t"))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4, unique_by=lambda field: field[0])
PATHS = st.sampled_from([b"/v1/chat/completions", b"/rerank", b"/a b", b"/a\r\nx: 1", b"/a\n", b"/?a=b", b"/\0"])


def read_back(kind: type[Any], data: bytes) -> Any:
    """The messages that aiohttp finds in these bytes, each with its body."""
    loop = asyncio.new_event_loop()
    try:
        return kind(BaseProtocol(loop), loop, 1 << 18, read_until_eof=False).feed_data(data, b"\r\n")
    finally:
        loop.close()


@examples(200)
@given(st.lists(st.tuples(PATHS, FIELDS, VALUES, st.integers(0, 99)), min_size=1, max_size=3))
def test_a_head_to_a_backend_is_one_request_of_its_own_fields_or_none(
    asked: list[tuple[bytes, Headers, bytes, int]],
) -> None:
    writer = HeadWriter(ADDRESS)
    for path, headers, request_id, size in asked:
        request = UpstreamRequest(b"POST", path, headers, b"x" * size, None, request_id)
        try:
            head = writer.head(request)
        except ValueError:
            assert any(byte in part for part in _parts(request) for byte in (b"\r", b"\n", b"\0")) or b" " in path
            continue
        assert head == HeadWriter(ADDRESS).head(request)
        ((message, _),), _, rest = read_back(HttpRequestParserPy, head + request.body)
        own = [(b"x-request-id", request_id)] if request_id else []
        assert message.path.encode() == b"/base" + path
        assert list(message.raw_headers) == [
            (b"host", b"chat0:8000"),
            *headers,
            *own,
            (b"content-length", b"%d" % size),
        ]
        assert rest == b""


def _parts(request: UpstreamRequest) -> list[bytes]:
    return [request.path, request.request_id, *[part for field in request.headers for part in field]]


@examples(100)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_fields_of_one_name_are_joined_in_their_order(headers: Headers) -> None:
    fields = fields_of(headers)
    assert set(fields) == {name for name, _ in headers}
    for name, value in fields.items():
        assert value == b", ".join(found for known, found in headers if known == name)
