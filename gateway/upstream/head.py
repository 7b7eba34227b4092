"""What does a request's head say on the wire? What every request to a backend repeats is written once."""

from typing import Final

from gateway.core.asgi import Headers
from gateway.upstream.address import Address
from gateway.upstream.protocol import UpstreamRequest

BODILESS: Final = frozenset({b"GET", b"HEAD"})
"""Methods that need no `content-length: 0`."""
NUL, LINE_FEED, CARRIAGE_RETURN, BLANK = b"\0\n\r "


class HeadWriter:
    """Writes the heads of requests to one backend.

    A head is the last one's again but for its last field, the request's id, and its length: what comes before is kept
    as bytes, and compared, so that any other request is written just as well.
    """

    __slots__ = ("_address", "_fixed", "_method", "_path", "_start")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._method = self._path = self._start = b""
        self._fixed: Headers = []

    def head(self, request: UpstreamRequest) -> bytes:
        """The request's first bytes, up to its body.

        Raises:
            ValueError: a line break or a blank stands where none may be: a value would write fields of its own.
        """
        headers, body = request.headers, request.body
        fixed = headers[:-1]
        if request.path != self._path or request.method != self._method or fixed != self._fixed:
            self._begin(request.method, request.path, fixed)
        name, value = headers[-1] if headers else (b"", b"")
        given = name + value
        if LINE_FEED in given or CARRIAGE_RETURN in given or NUL in given:
            raise ValueError("a line break or a NUL stands where it would end a field")
        last = (self._start, name, b": ", value, b"\r\n") if headers else (self._start,)
        if body or request.method not in BODILESS:
            return b"".join((*last, b"content-length: %d\r\n\r\n" % len(body)))
        return b"".join((*last, b"\r\n"))

    def _begin(self, method: bytes, path: bytes, fixed: Headers) -> None:
        address = self._address
        lines = [b"%b %b%b HTTP/1.1\r\nhost: %b\r\n" % (method, address.base, path, address.authority)]
        lines += [b"%b: %b\r\n" % field for field in fixed]
        start = b"".join(lines)
        breaks = len(lines) + 1
        if start.count(b"\n") != breaks or start.count(b"\r") != breaks or BLANK in path or NUL in start:
            raise ValueError("a line break or a blank stands where it would end a field")
        self._method, self._path, self._fixed, self._start = method, path, fixed, start
