"""What can a client do to nginx over HTTP/2, and through it to the gateway? Floods end, others are served meanwhile."""

import threading
from collections.abc import Callable, Iterator

import orjson
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.nginx.upstream import Upstream
from tests.security.house import House
from tests.security.http2 import Http2, block, body, fields, literal, opening, reset
from tests.support.gateway import KEY, wait_until
from tests.support.nginx import NginxServer

CHAT = b"/v1/chat/completions"
LONG = orjson.dumps(
    {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2000, "stream": True}
)
ENDLESS_BYTES = 32 * 2**20
"""What a flood would send, were it not ended."""
HEAD_BYTES = 2**20
"""What is sent of a head without end: far more than any head may have."""


def resets(count: int, *, per_write: int) -> Iterator[bytes]:
    """Streams that are opened with a whole request each, and reset in the same breath."""
    asked = block(fields(CHAT, b"POST", (b"content-type", b"application/json")))
    for first in range(0, count, per_write):
        numbers = range(2 * first + 1, 2 * (first + per_write), 2)
        yield b"".join(opening(number, asked, end=False) + body(number, LONG) + reset(number) for number in numbers)


@pytest.mark.parametrize("per_write", [1, 100, 2000])
def test_streams_that_are_reset_as_they_are_opened_stop_nobody_else(house: House, per_write: int) -> None:
    house.model.set_pace(token_ms=20)
    served = threading.Event()

    def visit() -> None:
        for _ in range(5):
            house.serves()
        served.set()

    visitor = threading.Thread(target=visit)
    with Http2(house.nginx) as client:
        visitor.start()
        for frames in resets(4000, per_write=per_write):
            if not client.send(frames):
                break
        visitor.join(60)
    assert served.is_set()
    house.is_well()
    assert all(row["ended"] != "running" for row in house.model.ledger())


def test_a_head_that_was_never_ended_has_a_line_that_programs_can_read(house: House) -> None:
    """Its status is 000, which is no number in JSON."""
    with Http2(house.nginx) as client:
        client.send(HeadersFrame(1, data=block(fields(b"/v1/never-ended"))).serialize())
    (record,) = wait_until(lambda: [line for line in house.records() if line.get("path") == "/v1/never-ended"])
    assert record["status"] == 0


def _endless_head() -> Iterator[bytes]:
    yield HeadersFrame(1, data=block(fields())).serialize()
    while True:
        yield ContinuationFrame(1, data=literal(b"x-more", b"a" * 1000)).serialize()


def _empty_continuations() -> Iterator[bytes]:
    yield HeadersFrame(1, data=block(fields())).serialize()
    many = ContinuationFrame(1, data=b"").serialize() * 1000
    while True:
        yield many


def _many_fields() -> Iterator[bytes]:
    yield HeadersFrame(1, data=block(fields())).serialize()
    while True:
        yield ContinuationFrame(1, data=literal(b"a", b"") * 100).serialize()


def _a_field_that_is_remembered() -> Iterator[bytes]:
    """One byte each for a field of 4,000, which the connection's table holds since the first."""
    value = b"a" * 3900
    yield HeadersFrame(1, data=block(fields()) + b"\x40" + literal(b"x-long", value)[1:]).serialize()
    while True:
        yield ContinuationFrame(1, data=b"\xbe" * 1000).serialize()


ENDLESS_HEADS: dict[str, Callable[[], Iterator[bytes]]] = {
    "fields of a thousand bytes": _endless_head,
    "empty fields": _many_fields,
    "fields that the table holds": _a_field_that_is_remembered,
}


@pytest.mark.parametrize("flood", ENDLESS_HEADS.values(), ids=ENDLESS_HEADS.keys())
def test_a_head_without_end_is_broken_off_before_it_is_long(house: House, flood: Callable[[], Iterator[bytes]]) -> None:
    before = len(house.gateway.access_lines())
    with Http2(house.nginx) as client:
        for frames in flood():
            if client.sent > HEAD_BYTES or not client.send(frames):
                break
        assert client.status(1) in {None, 400}
        assert not client.lives()
    house.is_well()
    assert {line["path"] for line in house.gateway.access_lines()[before:]} <= {"/v1/completions"}


FLOODS: dict[str, bytes] = {
    "settings": SettingsFrame(0, settings={3: 100}).serialize(),
    "pings": PingFrame(0, opaque_data=b"12345678").serialize(),
    "priorities": PriorityFrame(1, depends_on=3, stream_weight=1, exclusive=True).serialize(),
    "windows": WindowUpdateFrame(0, window_increment=1).serialize(),
    "empty data": DataFrame(1, data=b"").serialize(),
    "resets of nothing": reset(1),
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_frames_that_say_nothing_is_broken_off(house: House, frame: bytes) -> None:
    many = frame * 1000
    with Http2(house.nginx) as client:
        client.send(opening(1, block(fields(CHAT, b"POST", (b"content-length", b"100"))), end=False))
        while client.sent < ENDLESS_BYTES and client.send(many):
            pass
        assert client.sent < ENDLESS_BYTES or not client.lives()
    house.is_well()
    assert house.ran() == []


def test_continuations_of_nothing_stop_nobody_else(house: House) -> None:
    with Http2(house.nginx) as client:
        for frames in _empty_continuations():
            if client.sent > ENDLESS_BYTES // 4 or not client.send(frames):
                break
        house.serves()
    house.is_well()


def test_a_client_that_opens_no_window_holds_no_slot(house: House) -> None:
    house.model.set_pace(token_ms=1)
    asked = block(fields(CHAT, b"POST", (b"content-type", b"application/json")))
    with Http2(house.nginx, {4: 0}) as client:
        client.send(b"".join(opening(number, asked, end=False) + body(number, LONG) for number in range(1, 101, 2)))
        wait_until(lambda: len(house.model.ledger()) == 50)
        house.serves()
        wait_until(house.gateway.idle)
        house.model.settled(requests=50)


WINDOWS: dict[str, bytes] = {
    "too large for the connection": WindowUpdateFrame(0, window_increment=2**31 - 1).serialize() * 2,
    "of nothing": b"\0\0\4\x08\0\0\0\0\0\0\0\0\0",
    "for each stream beyond what can be": SettingsFrame(0, settings={4: 2**31}).serialize(),
    "a ping of nine bytes": b"\0\0\x09\x06\0\0\0\0\0" + b"123456789",
    "settings of five bytes": b"\0\0\5\4\0\0\0\0\0" + b"12345",
    "a stream of the server's": opening(2, block(fields())),
    "a stream that was before": opening(5, block(fields())) + opening(3, block(fields())),
    "an index that nothing has": opening(1, b"\xff\xff\xff\xff\x7f"),
    "a table beyond what is kept": opening(1, b"\x3f\xff\xff\xff\x7f" + block(fields())),
}


@pytest.mark.parametrize("data", WINDOWS.values(), ids=WINDOWS.keys())
def test_what_breaks_the_protocol_ends_the_connection(house: House, data: bytes) -> None:
    with Http2(house.nginx) as client:
        client.send(data)
        assert not client.lives()
    house.is_well()


CLAIM = b"\r\nX-Real-IP: 198.51.100.9"
CROOKED: dict[str, list[tuple[bytes, bytes]]] = {
    "a line break in a value": fields(b"/v1/models", b"GET", (b"x-a", b"b" + CLAIM)),
    "a line feed in a value": fields(b"/v1/models", b"GET", (b"x-a", b"b\nX-Real-IP: 198.51.100.9")),
    "a NUL in a value": fields(b"/v1/models", b"GET", (b"x-a", b"b\0c")),
    "a line break in a name": fields(b"/v1/models", b"GET", (b"x-a: b\r\nx-real-ip", b"198.51.100.9")),
    "a colon in a name": fields(b"/v1/models", b"GET", (b"x-real-ip: 198.51.100.9", b"")),
    "a capital in a name": fields(b"/v1/models", b"GET", (b"X-Real-IP", b"198.51.100.9")),
    "a blank in a name": fields(b"/v1/models", b"GET", (b"x-real-ip ", b"198.51.100.9")),
    "a line break in the path": fields(b"/v1/models HTTP/1.1" + CLAIM + b"\r\nX: "),
    "a blank in the path": fields(b"/v1/models HTTP/1.1"),
    "a path that is none": fields(b"v1/models"),
    "no path": fields(b""),
    "a line break in the method": fields(b"/v1/models", b"GET /v1/other HTTP/1.1" + CLAIM + b"\r\n\r\nGET"),
    "a blank in the method": fields(b"/v1/models", b"GET /x"),
    "a path twice": [*fields(), (b":path", b"/metrics")],
    "a pseudo field that nobody knows": [(b":x", b"y"), *fields()],
    "a host that is none": [(name, b"x/admin?" if name == b":authority" else value) for name, value in fields()],
    "another host beside": fields(b"/v1/models", b"GET", (b"host", b"other.test")),
    "two hosts beside": fields(b"/v1/models", b"GET", (b"host", b"gateway.test"), (b"host", b"other.test")),
}


@pytest.mark.parametrize("crooked", CROOKED.values(), ids=CROOKED.keys())
def test_what_would_be_another_request_in_http_1_goes_nowhere(
    edge: NginxServer, upstream: Upstream, crooked: list[tuple[bytes, bytes]]
) -> None:
    with Http2(edge) as client:
        client.send(opening(1, block(crooked)))
        assert client.status(1) in {None, 400, 405}
    assert upstream.count() == 0


LENGTHS: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "chunks": ((b"transfer-encoding", b"chunked"),),
    "chunks and a length": ((b"transfer-encoding", b"chunked"), (b"content-length", b"2")),
    "a connection's own fields": ((b"connection", b"keep-alive, x-real-ip"), (b"keep-alive", b"timeout=5")),
    "an upgrade": ((b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABkAAQAAP__")),
}


@pytest.mark.parametrize("more", LENGTHS.values(), ids=LENGTHS.keys())
def test_what_frames_messages_in_http_1_frames_none_here(
    edge: NginxServer, upstream: Upstream, more: tuple[tuple[bytes, bytes], ...]
) -> None:
    with Http2(edge) as client:
        client.send(opening(1, block(fields(CHAT, b"POST", *more)), end=False) + body(1, b"{}"))
        answered = client.status(1)
    assert answered in {None, 200, 400}
    assert upstream.count() == (answered == 200)
    if answered == 200:
        received = upstream.next()
        assert (received.body, received.values(b"content-length")) == (b"{}", [b"2"])
        assert received.values(b"x-real-ip") == [b"127.0.0.1"]
        named = {name for name, _ in received.fields()}
        assert not named & {b"transfer-encoding", b"keep-alive", b"upgrade", b"http2-settings"}


@pytest.mark.parametrize("stated", [b"1", b"5", b"-1", b"2, 2", b"0x2", b""])
def test_a_length_that_is_not_the_bodys_is_refused(edge: NginxServer, upstream: Upstream, stated: bytes) -> None:
    with Http2(edge) as client:
        head = block(fields(CHAT, b"POST", (b"content-length", stated)))
        client.send(opening(1, head, end=False) + body(1, b"{}"))
        assert client.status(1) in {None, 400}
    assert upstream.count() == 0


def test_cookies_and_keys_in_pieces_arrive_as_one_field_each(edge: NginxServer, upstream: Upstream) -> None:
    with Http2(edge) as client:
        client.send(opening(1, block(fields(b"/v1/models", b"GET", (b"cookie", b"a=b"), (b"cookie", b"c=d")))))
        assert client.status(1) == 200
    received = upstream.next()
    assert received.values(b"cookie") == [b"a=b; c=d"]
    assert received.values(b"authorization") == [b"Bearer " + KEY.encode()]
