"""What a request's head says, and that what is remembered of the last one shows in no other."""

import pytest

from gateway.core.asgi import Headers
from gateway.upstream.address import Address
from gateway.upstream.head import HeadWriter
from gateway.upstream.protocol import UpstreamRequest

KEY = (b"authorization", b"Bearer one")
START = b"POST /base/v1/x HTTP/1.1\r\nhost: chat0:8000\r\n"


def writer() -> HeadWriter:
    return HeadWriter(Address.parse("http://chat0:8000/base"))


def post(
    *fields: tuple[bytes, bytes],
    path: bytes = b"/v1/x",
    body: bytes = b"{}",
    request_id: bytes = b"",
    trace: Headers | None = None,
) -> UpstreamRequest:
    return UpstreamRequest(b"POST", path, list(fields), body, request_id=request_id, trace=trace or ())


def test_a_head_repeats_the_last_one_but_for_its_own_field_and_length() -> None:
    it = writer()
    for number, body in ((b"1", b"{}"), (b"2", b"{   }"), (b"3", b"")):
        length = b"content-length: %d\r\n\r\n" % len(body)
        fields = b"authorization: Bearer one\r\nx-request-id: " + number + b"\r\n"
        assert it.head(post(KEY, body=body, request_id=number)) == START + fields + length


def test_a_trace_stands_behind_the_id_and_in_no_other_requests_head() -> None:
    it = writer()
    trace = [(b"traceparent", b"00-1"), (b"tracestate", b"a=1")]
    traced = b"x-request-id: 1\r\ntraceparent: 00-1\r\ntracestate: a=1\r\ncontent-length: 2\r\n\r\n"
    assert it.head(post(request_id=b"1", trace=trace)) == START + traced
    assert it.head(post(request_id=b"2")) == START + b"x-request-id: 2\r\ncontent-length: 2\r\n\r\n"
    assert it.head(post(trace=trace[:1])) == START + b"traceparent: 00-1\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\n", b"a\r", b"a\0"])
def test_a_trace_writes_no_field_of_its_own(value: bytes) -> None:
    with pytest.raises(ValueError, match="line break or a NUL"):
        writer().head(post(request_id=b"1", trace=[(b"tracestate", value)]))


@pytest.mark.parametrize(
    "request_",
    [
        post((b"authorization", b"Bearer two"), request_id=b"1"),
        post(request_id=b"1"),
        post(),
        post(KEY),
        post(KEY, path=b"/v1/y", request_id=b"1"),
        post(KEY, path=b"/v1/%b", request_id=b"%d"),
        UpstreamRequest(b"PUT", b"/v1/x", [KEY], b"{}", request_id=b"1"),
        UpstreamRequest(b"GET", b"/v1/x", [KEY], request_id=b"1"),
        UpstreamRequest(b"GET", b"/v1/x"),
    ],
    ids=[
        "another key",
        "fewer fields",
        "no fields",
        "no id",
        "another path",
        "per cent",
        "another method",
        "no body",
        "nothing",
    ],
)
def test_a_head_that_differs_is_written_as_if_it_were_the_first(request_: UpstreamRequest) -> None:
    used = writer()
    used.head(post(KEY, request_id=b"0"))
    assert used.head(request_) == writer().head(request_)
    method, path = request_.method, request_.path
    lines = [method + b" /base" + path + b" HTTP/1.1", b"host: chat0:8000"]
    lines += [name + b": " + value for name, value in request_.headers]
    lines += [b"x-request-id: " + request_.request_id] if request_.request_id else []
    lines += [b"content-length: 2"] if request_.body else []
    assert used.head(request_) == b"\r\n".join(lines) + b"\r\n\r\n"


def test_fields_that_were_altered_in_place_are_written_anew() -> None:
    it = writer()
    request = post(KEY, request_id=b"1")
    it.head(request)
    request.headers[0] = (b"authorization", b"Bearer two")
    assert it.head(request) == writer().head(request)


EVIL = [b"a\r\nx: y", b"a\n", b"\ra", b"a\0b"]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("place", ["value", "name", "request id", "path"])
def test_nothing_can_write_a_field_of_its_own(place: str, evil: bytes) -> None:
    fields: dict[str, Headers] = {"value": [KEY, (b"x", evil)], "name": [KEY, (evil, b"x")]}
    request_id = evil if place == "request id" else b"1"
    request = post(*fields.get(place, [KEY]), path=b"/" + evil if place == "path" else b"/v1/x", request_id=request_id)
    it = writer()
    it.head(post(KEY, request_id=b"1"))
    for _ in range(2):
        with pytest.raises(ValueError, match="line break"):
            it.head(request)
    assert it.head(post(KEY, request_id=b"1")).startswith(START)


def test_a_blank_does_not_end_the_path() -> None:
    with pytest.raises(ValueError, match="blank"):
        writer().head(post(path=b"/v1 HTTP/1.1"))
