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

    A head is the last one's again but for the value of its last field, the request's id, and its length: what comes
    before is kept as bytes, and compared, so that any other request is written just as well.
    """

    __slots__ = ("_address", "_fixed", "_method", "_name", "_path", "_start")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._method = self._path = self._start = b""
        self._name: bytes | None = None
        self._fixed: Headers = []

    def head(self, request: UpstreamRequest) -> bytes:
        """The request's first bytes, up to its body.

        Raises:
            ValueError: a line break or a blank stands where none may be: a value would write fields of its own.
        """
        headers, method, path, length = request.headers, request.method, request.path, len(request.body)
        name, value = headers[-1] if headers else (None, b"")
        fixed = headers[:-1]
        if path != self._path or name != self._name or fixed != self._fixed or method != self._method:
            self._begin(method, path, fixed, name)
        if LINE_FEED in value or CARRIAGE_RETURN in value or NUL in value:
            raise ValueError("a line break or a NUL stands where it would end a field")
        if length or method not in BODILESS:
            return b"".join((self._start, value, b"\r\ncontent-length: %d\r\n\r\n" % length))
        return b"".join((self._start, value, b"\r\n\r\n"))

    def _begin(self, method: bytes, path: bytes, fixed: Headers, name: bytes | None) -> None:
        address = self._address
        lines = [b"%b %b%b HTTP/1.1" % (method, address.base, path), b"host: " + address.authority]
        lines += [b"%b: %b" % field for field in fixed]
        lines += [] if name is None else [name + b": "]
        start = b"\r\n".join(lines)
        breaks = len(lines) - 1
        if start.count(b"\n") != breaks or start.count(b"\r") != breaks or BLANK in path or NUL in start:
            raise ValueError("a line break or a blank stands where it would end a field")
        self._method, self._path, self._fixed, self._name, self._start = method, path, fixed, name, start
