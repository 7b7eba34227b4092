"""How does an answer's head stand on the wire? Its status line and its fields, none of which may hold a line break."""

from gateway.core.asgi import Headers
from gateway.server.refusal import status_line

NUL, LINE_FEED, CARRIAGE_RETURN = b"\0\n\r"
STATUS_LINES = {status: status_line(status) for status in range(200, 600)}
FRAMING = frozenset({b"content-length", b"connection", b"transfer-encoding"})
"""Fields of an answer that the server has an interest in."""
BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body and state no length (RFC 9110, section 8.6)."""

as_line = b": ".join


def lines_of(headers: Headers) -> list[bytes]:
    """The fields as they stand on the wire, without their line ends.

    Raises:
        RuntimeError: a field holds a line break or a NUL, which would let it write further fields.
    """
    lines = [*map(as_line, headers)]
    given = b"".join(lines)
    if LINE_FEED in given or CARRIAGE_RETURN in given or NUL in given:
        raise RuntimeError("a header of the answer holds a line break or a NUL")
    return lines
