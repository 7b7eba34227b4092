"""How does a text stay on its line, and off the terminal? What breaks one or steers the other is spelled out."""

import re

_UNSEEN = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]")
"""In UTF-8: what JSON leaves as it is, though terminals obey it (C1 controls), some programs take it for the end of a
line (U+0085, U+2028, U+2029), or the text behind it is shown the other way round."""


def spelled_out(json: bytes) -> bytes:
    """JSON that says the same without such characters; they can only stand within its strings."""
    return _UNSEEN.sub(_escape, json)


def on_one_line(text: str) -> str:
    """A text for people as Python would write it, if anything in it cannot be printed."""
    return text if text.isprintable() else repr(text)[1:-1]


def _escape(found: "re.Match[bytes]") -> bytes:
    return b"\\u%04x" % ord(found[0].decode())
