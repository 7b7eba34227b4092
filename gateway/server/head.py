"""Is this a request's head that we answer? The rules that the HTTP parser leaves to its user."""

import re
from typing import NamedTuple

import httptools

from gateway.core.asgi import Headers
from gateway.core.errors import BadRequestError, GatewayError, HeadTooLargeError

MAX_HEADERS = 128
"""Browsers and SDKs send 10 to 30; vLLM's own server stops at 256."""
FIELD_OVERHEAD = 4
"""Bytes of `: ` and the line end."""
DECISIVE = frozenset({b"host", b"transfer-encoding", b"expect"})
"""Fields that decide how a request is read and answered; of the others the server knows nothing."""
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
SCHEMES = frozenset({b"http", b"https"})


class HeadTimeoutError(GatewayError):
    """The head has begun and was not complete within CLIENT_HEADER_TIMEOUT_SECS."""

    status = 408
    type = "invalid_request_error"
    code = "headers_timeout"


class Target(NamedTuple):
    """The request's target, taken apart: bytes as they came, percent-encoding included."""

    path: bytes
    query: bytes


def split_target(url: bytes) -> Target:
    """The path and query of a request target in origin form (`/v1/models?x`) or absolute form (`http://host/v1`).

    The host of an absolute form is not looked at: whoever comes here means this server.

    Raises:
        BadRequestError: for anything else, a fragment among it.
    """
    if not url.startswith(b"/"):
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError as error:
            raise BadRequestError("The request's target is no path.") from error
        if (parsed.schema or b"").lower() not in SCHEMES:
            raise BadRequestError("The request's target is no path.")
        return Target(parsed.path or b"/", parsed.query or b"")
    if b"#" in url:
        raise BadRequestError("The request's target holds a fragment.")
    path, _, query = url.partition(b"?")
    return Target(path, query)


def check_head(version: str, headers: Headers) -> None:
    """Refuse a head that two servers may read in two ways (RFC 9112, sections 3.2 and 6.1).

    A missing, doubled or malformed Host is how routing and authorization are fooled; chunks in HTTP/1.0, or an
    encoding that looks like chunks to one of them only, are how a second request is smuggled past the other.
    HTTP/1.0 may come without a Host.

    Raises:
        BadRequestError: one sentence for the client.
    """
    if version not in {"1.0", "1.1"}:
        raise BadRequestError("This server speaks HTTP/1.1.")
    hosts, encodings = [], []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"transfer-encoding":
            encodings.append(value)
    if len(hosts) > 1:
        raise BadRequestError("The request has more than one Host header.")
    if not hosts and version == "1.1":
        raise BadRequestError("The request has no Host header.")
    if hosts and not HOST.fullmatch(hosts[0]):
        raise BadRequestError("The Host header is no host name.")
    if encodings and version == "1.0":
        raise BadRequestError("HTTP/1.0 knows no Transfer-Encoding.")
    if encodings and (len(encodings) > 1 or encodings[0].lower() != b"chunked"):
        raise BadRequestError("The only Transfer-Encoding is `chunked`.")


def check_size(url: bytes, headers: Headers, max_bytes: int) -> None:
    """Refuse a complete head that is longer than `max_bytes`.

    Raises:
        HeadTooLargeError: stating the bound.
    """
    if len(url) + sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in headers) > max_bytes:
        raise too_long(max_bytes)


def too_long(max_bytes: int) -> HeadTooLargeError:
    """The refusal of a head of more than `max_bytes` bytes."""
    return HeadTooLargeError(f"The request's headers are longer than {max_bytes} bytes.")


def too_many() -> HeadTooLargeError:
    """The refusal of a head of more than `MAX_HEADERS` fields."""
    return HeadTooLargeError(f"The request has more than {MAX_HEADERS} headers.")
