"""How is a request's body framed? What of a head says so, and how much of a body may be no content."""

from typing import Final

from gateway.core.asgi import Headers

FIELDS: Final = (b"content-length", b"transfer-encoding")
CONTENT_PER_FRAMING: Final = 4
"""Bytes of content for which a body may hold one that is none: chunks of 24 bytes and more."""


def framing_alone(headers: Headers) -> bytes:
    """A head after which a parser reads the body as after `headers`, and that says nothing else."""
    return b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in headers if field[0] in FIELDS)


class Allowance:
    """Bytes of chunk lines and trailers that may still come before more of a body's content does.

    Each chunk costs the same, however little it holds; and the parser joins the pieces of an unfinished field anew
    with each that comes, which made 60 MB of it cost 4.8 s. A body of stated length has none.

    Args:
        most: what a body may begin with, and save.
    """

    __slots__ = ("_left", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = 0

    def renew(self) -> None:
        """A body begins."""
        self._left = self._most

    def spend(self, came: int, content: int) -> bool:
        """Of `came` bytes, `content` were some; whether that is still a body.

        It is not when its chunks hold a byte each, or its extensions or its trailer do not end.
        """
        self._left = min(self._most, self._left - came + content + content // CONTENT_PER_FRAMING)
        return self._left >= 0
