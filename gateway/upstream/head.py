"""What does a request's head say on the wire? What every request to a backend repeats is written once."""

from collections.abc import Sequence
from typing import Final

from gateway.core.asgi import Headers
from gateway.upstream.address import Address
from gateway.upstream.protocol import UpstreamRequest

BODILESS: Final = frozenset({b"GET", b"HEAD"})
"""Methods that need no `content-length: 0`."""
NUL, LINE_FEED, CARRIAGE_RETURN, BLANK = b"\0\n\r "


class HeadWriter:
    """Writes the heads of requests to one backend.

    A head is the last one's again but for the request's id, trace and length: what comes before is kept as bytes, and
    what it was made of is compared, so that any other request is written just as well.
    """

    __slots__ = ("_address", "_headers", "_method", "_path", "_start")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._method = self._path = self._start = b""
        self._headers: Headers = []

    def head(self, request: UpstreamRequest) -> bytes:
        """The request's first bytes, up to its body.

        Raises:
            ValueError: a line break or a blank stands where none may be: a value would write fields of its own.
        """
        if request.path != self._path or request.headers != self._headers or request.method != self._method:
            self._begin(request.method, request.path, request.headers)
        own, length = request.request_id, len(request.body)
        if LINE_FEED in own or CARRIAGE_RETURN in own or NUL in own:
            raise ValueError("a line break or a NUL stands where it would end a field")
        if own and length and not request.trace:
            return b"%b\r\nx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (self._start, own, length)
        named = b"\r\nx-request-id: " + own if own else b""
        traced = _lines(request.trace)
        sized = b"" if request.method in BODILESS and not length else b"\r\ncontent-length: %d" % length
        return b"".join((self._start, named, traced, sized, b"\r\n\r\n"))

    def _begin(self, method: bytes, path: bytes, headers: Headers) -> None:
        address = self._address
        lines = [b"%b %b%b HTTP/1.1" % (method, address.base, path), b"host: " + address.authority]
        lines += [b"%b: %b" % field for field in headers]
        start = b"\r\n".join(lines)
        breaks = len(lines) - 1
        if start.count(b"\n") != breaks or start.count(b"\r") != breaks or BLANK in path or NUL in start:
            raise ValueError("a line break or a blank stands where it would end a field")
        self._method, self._path, self._headers, self._start = method, path, list(headers), start


def _lines(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A line for each field, each behind the end of the one before it."""
    lines = b""
    for name, value in fields:
        if LINE_FEED in value or CARRIAGE_RETURN in value or NUL in value:
            raise ValueError("a line break or a NUL stands where it would end a field")
        lines += b"\r\n%b: %b" % (name, value)
    return lines
