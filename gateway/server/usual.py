"""Is this a request whose head was read before? What llhttp has read once is recognised, not read again."""

import re
from typing import Any, Final

from msgspec import Struct

from gateway.core.asgi import Fields, Headers, fields_of
from gateway.server.head import MAX_HEADERS
from gateway.server.scope import LINE_KEYS

HEAD_END: Final = b"\r\n\r\n"
LENGTH_NAME: Final = b"content-length"
LENGTH_FIELD: Final = b"\r\ncontent-length: "
LENGTH: Final = re.compile(rb"ength: ([1-9][0-9]{0,14})\r")
"""What looks like a stated length, however a client writes the rest of the name: llhttp takes 20 digits, as far as they
fit 64 bits, and zeros before them. Where another number comes first, the head is read each time."""
MAX_HEAD_BYTES: Final = 4096
"""A longer head is not learned."""
MAX_DIGITS: Final = 15
MAX_FIELDS: Final = 40
"""A head with more is not learned: SDKs behind nginx send 15 to 20, and each takes 170 bytes beside its own."""
MAX_HEADS: Final = 512
"""Heads that a worker knows, 4.5 kB for an SDK's behind nginx, 18 kB for the worst; beyond it, it begins anew."""
MAX_SEEN: Final = 4096
"""Heads of which a worker knows that they came once: learning costs half of a reading, for nothing where each one is
new."""
MEANINGFUL: Final = frozenset({b"connection", b"proxy-connection", b"transfer-encoding", b"expect", b"upgrade"})
"""Fields that decide what other bytes mean, beside the length."""


class UsualRequest(Struct, frozen=True):
    """What llhttp and our own checks made of a head; shared by all requests that repeat it, so nobody alters it.

    Attributes:
        start: where the digits of its length begin.
        line: what a scope says of its request line.
        before, after: its fields around its length.
        fields: all of them by name; the length is the one of the request that it was learned from.
    """

    start: int
    line: dict[str, Any]
    before: Headers
    after: Headers
    fields: Fields


class UsualRequests:
    """The heads that a worker's clients repeat, whichever connection they come on: a proxy's serves many clients.

    A head is known when it is byte for byte one that was read and accepted, with digits where that one had the digits
    of its length: whatever was found in the one would be found in the other.

    Args:
        max_header_bytes: the bound of a head; what is so near to it that it might not hold is not learned.
    """

    __slots__ = ("_known", "_longest", "_missed", "_seen")

    def __init__(self, max_header_bytes: int) -> None:
        self._longest = min(MAX_HEAD_BYTES, max_header_bytes - MAX_HEADERS - MAX_DIGITS)
        self._known: dict[bytes, UsualRequest] = {}
        """By their bytes without the digits."""
        self._seen: set[int] = set()
        """Hashes of such bytes that came once."""
        self._missed = b""
        """Those that were last looked for in vain."""

    def find(self, data: bytes) -> tuple[UsualRequest, bytes, bytes] | None:
        """Head, stated length and body, where these bytes are one whole request with a known head; else None."""
        found = LENGTH.search(data, 0, MAX_HEAD_BYTES)
        if found is None:
            return None
        start, stop = found.span(1)
        length = found[1]
        end = len(data) - int(length)
        if end <= stop:
            return None  # some of the body is still to come; as an index it would count from the end
        key = data[:start] + data[stop:end]
        head = self._known.get(key)
        if head is None or head.start != start:
            self._missed = key
            return None
        return head, length, data[end:]

    def learn(self, data: bytes, scope: dict[str, Any], headers: Headers) -> None:
        """Take over the head of a request that `find` did not know, when it comes for the second time.

        Args:
            data: the request, from its first byte to its last: llhttp has read it as one, and we accepted it.
            scope: what was made of its request line.
            headers: its fields.
        """
        missed, self._missed = self._missed, b""
        if not missed:
            return  # no length that `find` would look at
        seen = hash(missed)
        if seen not in self._seen:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen.add(seen)
            return
        head, end, body = data.partition(HEAD_END)
        start = head.lower().find(LENGTH_FIELD) + len(LENGTH_FIELD)
        stated = head[start:].partition(b"\r\n")[0]
        names = [name for name, _ in headers]
        if len(head) > self._longest or start < len(LENGTH_FIELD) or not MEANINGFUL.isdisjoint(names):
            return
        if len(headers) > MAX_FIELDS or not scope["path"].isascii():
            return  # by what it takes: one letter beyond ASCII makes a path four times as large
        if scope["method"] != "POST" or scope["http_version"] != "1.1" or names.count(LENGTH_NAME) != 1:
            return
        place = names.index(LENGTH_NAME)
        if not stated == headers[place][1] == b"%d" % len(body):
            return  # the head does not end where we think, or not so with other digits
        if len(self._known) >= MAX_HEADS:
            self._known.clear()
        line = {key: scope[key] for key in LINE_KEYS}
        known = UsualRequest(start, line, headers[:place], headers[place + 1 :], fields_of(headers))
        self._known[head[:start] + head[start + len(stated) :] + end] = known
