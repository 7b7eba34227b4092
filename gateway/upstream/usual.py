"""Is this head one that came before, but for its length? What llhttp has read once is recognised, not read again."""

from typing import Final

from gateway.core.asgi import Headers, first_of

HEAD_END: Final = b"\r\n\r\n"
LENGTH_NAME: Final = b"content-length"
LENGTH_FIELD: Final = b"\r\ncontent-length: "
MAX_DIGITS: Final = 15
"""Of a length that is recognised; llhttp takes 20, as far as they fit 64 bits."""
MAX_HEAD_BYTES: Final = 4096
"""A longer head is not learned: an answer is compared with what was learned before it is looked at."""
LEARNED_EVERY: Final = 4
"""Of the heads that are not the usual one: learning costs half of a reading, for nothing where each one is new."""
NOTHING: Final = ()
"""In place of a prefix that is still to be learned: bytes start with one of none never, whatever a backend sends."""


class UsualAnswer:
    """The head that one backend's whole answers repeat, learned from one that llhttp read.

    A head is the same when it is that one byte for byte, with digits where that one had the digits of its length:
    whatever llhttp found in the one it would find in the other. A server's date makes it a new one once a second.

    Attributes:
        prefix, suffix: the bytes before and after the digits, the blank line included; the first is `NOTHING` before a
            head was learned.
        status, content_type: what it states.
        before, after: its fields as `protocol.Reply` has them, around its length.
        stream: the head of that backend's streams, which is compared where an answer begins otherwise.
    """

    __slots__ = ("_unknown", "after", "before", "content_type", "prefix", "status", "stream", "suffix")

    def __init__(self) -> None:
        self._unknown = 0
        self.stream = UsualStream()
        self.prefix: bytes | tuple[()] = NOTHING
        self.suffix = b""
        self.status = 0
        self.content_type = b""
        self.before: Headers = []
        self.after: Headers = []

    def learn(self, data: bytes, status: int, headers: Headers, length: int) -> None:
        """Take over a head that llhttp has read: the first bytes of an answer that ends by its content-length."""
        self._unknown += 1
        if self._unknown % LEARNED_EVERY != 1:
            return
        head, end, _ = data.partition(HEAD_END)
        digits = b"%d" % length
        start = head.lower().find(LENGTH_FIELD) + len(LENGTH_FIELD)
        rest = head[start + len(digits) :]
        if len(head) > MAX_HEAD_BYTES or start < len(LENGTH_FIELD):
            return
        if rest[:2] not in (b"", b"\r\n"):
            return  # leading zeros, a blank after the digits: rare enough to be read each time
        place = headers.index((LENGTH_NAME, digits))
        self.prefix, self.suffix = head[:start], rest + end
        self.status, self.content_type = status, first_of(headers, b"content-type")
        self.before, self.after = headers[:place], headers[place + 1 :]


class UsualStream:
    """The head that one backend's streams repeat byte for byte, learned likewise: chunks follow it.

    Attributes:
        head: all of it, the blank line included; `NOTHING` before one was learned.
        status, headers, content_type: what it states, as in `protocol.Reply`.
    """

    __slots__ = ("_unknown", "content_type", "head", "headers", "status")

    def __init__(self) -> None:
        self._unknown = 0
        self.head: bytes | tuple[()] = NOTHING
        self.status = 0
        self.headers: Headers = []
        self.content_type = b""

    def learn(self, data: bytes, status: int, headers: Headers) -> None:
        """Take over a head that llhttp has read: the first bytes of an answer whose body comes in chunks."""
        self._unknown += 1
        if self._unknown % LEARNED_EVERY != 1:
            return
        head, end, _ = data.partition(HEAD_END)
        if len(head) > MAX_HEAD_BYTES:
            return
        self.head = head + end
        self.status, self.headers, self.content_type = status, headers, first_of(headers, b"content-type")
