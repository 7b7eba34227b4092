"""What does a text say in which characters are spelled out, as those of JSON are, and of JSON within JSON?"""

import re
from typing import Final

LEVELS: Final = 4
"""Of JSON within JSON; each writes a backslash twice."""

_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\([\"\\/bfnrt])")
_MEANT: Final = {"b": " ", "f": " ", "n": "\n", "r": "\r", "t": "\t"}


def unescaped(text: str) -> str:
    """The text as whoever decodes it once reads it; the same object where nothing is spelled out."""
    read = _ESCAPE.sub(_meant, text) if "\\" in text else text
    return text if read == text else _sayable(read)


def fully_unescaped(text: str) -> str:
    """The text when nothing, or nothing within LEVELS, is spelled out any more; the same object where nothing was."""
    for _ in range(LEVELS):
        read = unescaped(text)
        if read is text:
            break
        text = read
    return text


def _meant(found: "re.Match[str]") -> str:
    if found[1] is not None:
        return chr(int(found[1], 16))
    return _MEANT.get(found[2], found[2])


def _sayable(text: str) -> str:
    """The text with its surrogates paired, as an escape of each half left them; one that is alone is `?`."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
