"""Are these bytes whole chunks of HTTP/1.1, and no more? A usual chunk's length tells the line that it begins with."""

from typing import Final

USUAL_BYTES: Final = 4096
"""Chunks below this size are known by a look into a table: nearly all events of a stream."""
LINE_END: Final = b"\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"


def _lines_by_length() -> list[bytes]:
    longest = b"%x\r\n" % (USUAL_BYTES - 1)
    lines = [b""] * (len(longest) + USUAL_BYTES - 1 + len(LINE_END) + 1)
    for size in range(1, USUAL_BYTES):
        line = b"%x\r\n" % size
        lines[len(line) + size + len(LINE_END)] = line
    return lines


FIRST_LINES: Final = _lines_by_length()
"""By the length of a whole chunk, the only line that it can begin with when it is spelled without leading zeros, in
lower case and without extensions; empty where no chunk is as long, and for the last chunk, which ends the body."""

size_of: Final = [LINE_END, *(b"%x" % size for size in range(1, USUAL_BYTES + 1))].__getitem__
"""The line of a chunk of that size, spelled likewise; of none, what no line holds: the last one is not among them."""


def sole_chunk(data: bytes) -> bytes:
    """The body of the chunk that these bytes are, from its first to its last, where it is spelled so; else nothing."""
    length = len(data)
    if length < len(FIRST_LINES):
        rest = data.removeprefix(FIRST_LINES[length])
        if rest is not data:
            body = rest.removesuffix(LINE_END)
            if body is not rest:
                return body
    return b""


def whole_chunks(data: bytes) -> tuple[list[bytes], bool] | None:
    """The bodies of the chunks that these bytes are, and whether the last one, which has none, is their end.

    None where they are anything else, or may be: another spelling, a chunk that is cut, a line end within a body, a
    trailer, bytes behind the end, too many bytes.
    """
    if len(data) > USUAL_BYTES:
        return None
    rest = data.removesuffix(LAST_CHUNK)
    parts = rest.split(LINE_END)
    bodies = parts[1::2]
    if parts[::2] != [*map(size_of, map(len, bodies)), b""]:
        return None
    return bodies, rest is not data
