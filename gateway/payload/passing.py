"""What does an answer state that is too large to hold? Its bytes are looked at as they pass, and not kept."""

import re
from typing import Final, Protocol

import msgspec

from gateway.core.endpoint import Dialect
from gateway.core.usage import StatedUsage, Usage

EDGE_BYTES: Final = 1024
"""What is kept of the bytes that have passed, so that nothing is missed because it came in two pieces: more than a
usage object with its details is long."""

_USAGE: Final = b'"usage"'
_FIGURES: Final = re.compile(rb'"usage"\s*:\s*(\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\})')
_ERROR_HEAD: Final = re.compile(rb'\s*\{\s*"(?:error"\s*:\s*(?:\{\s*"|"[^"])|(?:object|type)"\s*:\s*"error")')
_SIGNS: Final = {
    Dialect.OPENAI: (
        (b'"abort"', re.compile(rb'"finish_reason"\s*:\s*"abort"')),
        (b'"error"', re.compile(rb'"error"\s*:\s*\{')),
    ),
    Dialect.RESPONSES: ((b'"cancelled"', re.compile(rb'"status"\s*:\s*"cancelled"')),),
    Dialect.ANTHROPIC: (),
}
"""Signs of an abort or an error: a word to find at the speed of C, and its place. A quote before a key is never inside
a JSON string, so no text that a model writes can stand for them. On `/v1/messages` a model makes objects too (the input
of a tool), with any keys: there an error is sought at the beginning alone, and an abort at the end."""

_WORDS: Final = re.compile(rb'"(?:usage|abort|error|cancelled)"')
"""One of these is in every figure and in every sign."""

_LETTERS: Final = {Dialect.OPENAI: (b"u", b"r"), Dialect.RESPONSES: (b"u",), Dialect.ANTHROPIC: (b"u",)}
"""The key of each figure and of each sign has one of these. Numbers and the names around them (`index`, `object`,
`embedding`) have none, and a byte is sought 15 times as fast as a word."""

_STOP: Final = b'"stop_reason"'
_GIVEN_UP: Final = re.compile(rb'"stop_reason"\s*:\s*null')

_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:(")|(\\?)\Z)', re.DOTALL)
"""A string of JSON, or its beginning; group 1 is the quote that ends it, group 2 half an escape at the end."""

_counts = msgspec.json.Decoder(StatedUsage)


class Passing(Protocol):
    """What is learned of an answer while it passes.

    Attributes:
        usage: the latest figures that it stated.
        broken: it states an error or an abort: nothing more of it may pass.
    """

    usage: Usage | None
    broken: bool

    def feed(self, data: bytes) -> None:
        """Look at the next bytes; they are not empty, and the first ones are `EDGE_BYTES` or more."""
        ...

    def whole(self) -> bool:
        """Whether what has passed can be all of it."""
        ...


class PassingJson:
    """A JSON answer.

    Args:
        dialect: how failures are spelled.
        framed: HTTP tells how long it is. Where it does not, what has passed is whole when every brace and bracket is
            closed, which costs a pass of a regular expression; vLLM states a length.
    """

    def __init__(self, dialect: Dialect, *, framed: bool) -> None:
        self.usage: Usage | None = None
        self.broken = False
        self._signs = _SIGNS[dialect]
        self._letters = _LETTERS[dialect]
        self._typed = dialect is Dialect.ANTHROPIC
        self._nesting = None if framed else Nesting()
        self._edge = b""
        self._begun = False

    def feed(self, data: bytes) -> None:
        """Look for figures and for signs of a failure."""
        if not self._begun:
            self._begun = True
            self.broken = _ERROR_HEAD.match(data) is not None
        self._look(self._edge + data[: 2 * EDGE_BYTES])
        if len(data) > 2 * EDGE_BYTES:
            numbers = all(data.find(letter, EDGE_BYTES, -EDGE_BYTES) < 0 for letter in self._letters)
            self._look(data[-2 * EDGE_BYTES :] if numbers else data)
        self._edge = data[-EDGE_BYTES:] if len(data) >= EDGE_BYTES else (self._edge + data)[-EDGE_BYTES:]
        if self._nesting is not None:
            self._nesting.feed(data)

    def _look(self, block: bytes) -> None:
        """Look at all that stands in these bytes; what begins in their last kilobyte will be looked at again."""
        word = _WORDS.search(block) if any(letter in block for letter in self._letters) else None
        if word is None:
            return
        block = block[max(0, word.start() - EDGE_BYTES) :]  # a sign is its word and the key before it
        if _USAGE in block:
            for figures in _FIGURES.findall(block):
                self.usage = _read(figures) or self.usage
        self.broken = self.broken or any(sign in block and place.search(block) for sign, place in self._signs)

    def whole(self) -> bool:
        """Whether nothing is missing, and it is no message that was given up."""
        if self._typed and _GIVEN_UP.match(self._edge, max(0, self._edge.rfind(_STOP))):
            return False
        return self._nesting is None or self._nesting.closed


class Nesting:
    """Whether every brace and bracket of a JSON text is closed again; those inside of strings do not count.

    Attributes:
        closed: at least one was opened, and all are closed.
        depth: how many are open.
        in_text: what was taken ends inside of a string.
    """

    def __init__(self) -> None:
        self.closed = self.in_text = False
        self._opened = self.depth = 0
        self._carried = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        bare, texts = _TEXT.subn(rb"\1\2", self._carried + data)
        # A text without its end has left no quote: the next bytes go on in it, perhaps behind half an escape.
        self.in_text = texts > bare.count(b'"')
        self._carried = (b'"\\' if bare.endswith(b"\\") else b'"') if self.in_text else b""
        opened = bare.count(b"{") + bare.count(b"[")
        self._opened += opened
        self.depth += opened - bare.count(b"}") - bare.count(b"]")
        self.closed = self._opened > 0 and self.depth == 0 and not self.in_text


class _Place(msgspec.Struct):
    end: int


class _Metadata(msgspec.Struct):
    data: list[_Place] = []
    usage: StatedUsage | None = None


_metadata = msgspec.json.Decoder(_Metadata)


class PassingBytes:
    """Binary embeddings, whose figures and size stand in vLLM's header field `metadata`.

    Without the field (`encoding_format: bytes_only`) only HTTP's own framing tells whether they are whole.
    """

    def __init__(self, metadata: bytes) -> None:
        self.broken = False
        self._passed = 0
        try:
            stated = _metadata.decode(metadata)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            stated = _Metadata()
        self.usage: Usage | None = None if stated.usage is None else stated.usage.counts()
        self._size = max((place.end for place in stated.data), default=None)

    def feed(self, data: bytes) -> None:
        """Count."""
        self._passed += len(data)

    def whole(self) -> bool:
        """Whether as much has passed as was announced."""
        return self._size is None or self._size == self._passed


def _read(figures: bytes) -> Usage | None:
    try:
        return _counts.decode(figures).counts()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
