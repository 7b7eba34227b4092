"""Tests of the rules for a request's head."""

import pytest

from gateway.core.errors import BadRequestError, HeadTooLargeError
from gateway.server.head import check_head, check_size, split_target


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        (b"/v1/models", b"/v1/models", b""),
        (b"/v1/models?a=1?b", b"/v1/models", b"a=1?b"),
        (b"//v1/models", b"//v1/models", b""),
        (b"/%2e%2e/x", b"/%2e%2e/x", b""),
        (b"http://other/v1/models?a=1", b"/v1/models", b"a=1"),
        (b"http://other", b"/", b""),
    ],
)
def test_a_target_is_taken_apart_and_not_interpreted(url: bytes, path: bytes, query: bytes) -> None:
    assert split_target(url) == (path, query)


@pytest.mark.parametrize("url", [b"/a#b", b"host:443", b""])
def test_what_is_no_path_is_refused(url: bytes) -> None:
    with pytest.raises(BadRequestError):
        split_target(url)


@pytest.mark.parametrize(
    "host", [b"localhost", b"gateway:9000", b"10.0.0.1:80", b"[::1]:9000", b"[fd00::1]", b"a_b.example-1.org"]
)
def test_hosts_that_people_use_are_taken(host: bytes) -> None:
    check_head("1.1", [(b"host", host)])
    with pytest.raises(BadRequestError):
        check_head("1.1", [(b"host", host + b"/")])


@pytest.mark.parametrize(
    "host", [b"", b"x/admin?", b"a b", b"a@b", b"[::1", b"a:b", b"a:123456", b"a,b", b"h\xc3\xb6st", b"a\t"]
)
def test_a_host_that_is_none_is_refused(host: bytes) -> None:
    with pytest.raises(BadRequestError, match="Host"):
        check_head("1.1", [(b"host", host)])


def test_one_host_is_needed_and_one_only() -> None:
    with pytest.raises(BadRequestError, match="no Host"):
        check_head("1.1", [])
    with pytest.raises(BadRequestError, match="more than one"):
        check_head("1.1", [(b"host", b"a"), (b"host", b"a")])
    check_head("1.0", [])


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2"])
def test_other_versions_of_the_protocol_are_refused(version: str) -> None:
    with pytest.raises(BadRequestError, match=r"HTTP/1\.1"):
        check_head(version, [(b"host", b"a")])


def test_chunks_in_http_1_0_are_refused() -> None:
    with pytest.raises(BadRequestError, match="Transfer-Encoding"):
        check_head("1.0", [(b"transfer-encoding", b"chunked")])


@pytest.mark.parametrize("values", [[b"xchunked"], [b"gzip, chunked"], [b"chunked", b"chunked"], [b"identity"], [b""]])
def test_an_encoding_other_than_chunked_is_refused(values: list[bytes]) -> None:
    with pytest.raises(BadRequestError, match="chunked"):
        check_head("1.1", [(b"host", b"a"), *((b"transfer-encoding", value) for value in values)])


def test_a_head_may_be_as_long_as_its_bound_and_no_longer() -> None:
    headers = [(b"a", b"x" * 95)]
    check_size(b"/", headers, 101)
    with pytest.raises(HeadTooLargeError, match="100 bytes"):
        check_size(b"/", headers, 100)
