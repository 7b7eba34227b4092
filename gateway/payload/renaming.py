"""Under which name goes an answer out that is too large to hold? Its model's name is replaced as it passes."""

import re
from typing import Final

import orjson

from gateway.payload.passing import EDGE_BYTES, Nesting

_NAMED: Final = re.compile(rb'"model"\s*:\s*("[^"\\]*+(?:\\.[^"\\]*+)*+")', re.DOTALL)
"""A member of that name, or of one that ends with it behind a quote (`"a\\"model"`). Texts that a model writes have a
backslash before each quote and never look like it."""


class Renaming:
    """Puts another name in place of an answer's own `model`, in whatever pieces the answer comes.

    Metadata, tools and their input may have a `model` too, so the braces before it are counted. That costs 10 ms a MiB
    of text, and counts for messages alone, where vLLM writes the name behind the content; elsewhere it comes early.

    Attributes:
        done: the name was found and replaced: nothing is held back any more.
    """

    def __init__(self, model: str) -> None:
        self._name = orjson.dumps(model)
        self._nesting = Nesting()
        self._held = b""
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Take the next piece and give what may go out: all but the last kilobyte, until the name was found."""
        if self.done:
            return data
        block = self._held + data
        counted = 0
        for member in _NAMED.finditer(block):
            self._nesting.feed(block[counted : member.start()])
            counted = member.start()
            if self._nesting.depth == 1 and not self._nesting.in_text:
                self.done = True
                self._held = b""
                return b"".join((block[: member.start(1)], self._name, memoryview(block)[member.end(1) :]))
        end = max(counted, len(block) - EDGE_BYTES)
        self._nesting.feed(block[counted:end])
        self._held = block[end:]
        return block[:end]

    def rest(self) -> bytes:
        """What is held back, when the answer is at its end."""
        return self._held
