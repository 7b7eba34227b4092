"""How is a chunk of HTTP/1.1 framed? The line that states its size is made once for each usual size."""

from typing import Final

USUAL_BYTES: Final = 4096
"""Chunks below this size are framed by a look into a table: nearly all events of a stream."""
LINE_END: Final = b"\r\n"

SIZE_LINES: Final = [b"%x\r\n" % size for size in range(USUAL_BYTES)]
"""By a chunk's size, the line that states it."""


def _lines_by_length() -> list[bytes]:
    lines = [b""] * (len(SIZE_LINES[-1]) + USUAL_BYTES - 1 + len(LINE_END) + 1)
    for size, line in enumerate(SIZE_LINES[1:], 1):
        lines[len(line) + size + len(LINE_END)] = line
    return lines


FIRST_LINES: Final = _lines_by_length()
"""By the length of a framed chunk, the only line that it can begin with when it is spelled without leading zeros, in
lower case and without extensions; empty where no chunk is as long, and for the last chunk, which ends the body."""


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
