"""How does an answer stand on the wire? Its head, its body framed as the head says, and its end."""

import asyncio

from msgspec import Struct

from gateway.core.asgi import Headers
from gateway.core.structs import stored_plainly
from gateway.server.refusal import status_line
from gateway.server.wire import Wire

CHUNK = b"%x\r\n%b\r\n"
LAST_CHUNK = b"0\r\n\r\n"
BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body and state no length (RFC 9110, section 8.6)."""
FRAMING = frozenset({b"content-length", b"connection", b"transfer-encoding"})
"""Fields of an answer that the server writes itself, whatever the application says in them."""
STATUS_LINES = {status: status_line(status) for status in range(200, 600)}
NUL, LINE_FEED, CARRIAGE_RETURN = b"\0\n\r"

as_line = b": ".join


@stored_plainly
class AnswerWriter(Struct, eq=False):  # made per request: see core/structs.py
    """Writes one answer: at once (`answer`), or in pieces (`start`, `push`, `finish`; messages' are `begin`, `write`).

    The head decides how the body is framed: by its length where that is stated, else by chunks, for HTTP/1.0 by the
    connection's end; an answer to HEAD, and one of a status without a body, has none, whatever is written.

    Attributes:
        more_body: more of the request's body is to come; an answer before its end is the connection's last.
        keep_alive: whether the connection outlives the answer.
        started: whether the answer's head was written.
        complete: whether the answer's last byte was written.
        gone: whether the connection was lost before that.
    """

    _wire: Wire
    more_body: bool = True
    keep_alive: bool = True
    started: bool = False
    complete: bool = False
    gone: bool = False
    _chunked: bool = True
    _mute: bool = False
    _news: "asyncio.Future[None] | None" = None
    """What somebody waits for who wants to know of the answer's end too."""
    _held: bytes = b""
    """The head of an answer of stated length: it leaves with the body, one packet and one system call for both."""
    _left: int | None = None
    """Bytes of the stated length that are still to be written; None when none was stated."""

    # core.asgi.ClientConnection

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """Write the whole answer; whether there is room for more. See `core.asgi.ClientConnection`."""
        if self.gone:
            return False
        if self.started:
            raise RuntimeError("a whole answer has no place at this point of an answer")
        head = self._head(status, headers, len(body))
        self.complete = True
        if self._news is not None:
            self._wake()
        wire = self._wire
        wire.end(head, b"" if self._mute else body)
        return not wire.congested

    def start(self, status: int, headers: Headers, data: bytes) -> bool:
        """Write head and first piece; whether there is room for more. See `core.asgi.ClientConnection`."""
        if self.gone:
            return False
        if self.started:
            raise RuntimeError("a head has no place at this point of an answer")
        head = self._head(status, headers, None)
        wire = self._wire
        wire.write(head + self._framed(data, more=True))
        return not wire.congested

    def push(self, data: bytes) -> bool:
        """Write a further piece of the body; whether there is room for more. See `core.asgi.ClientConnection`."""
        if self.gone:
            return False
        if not self.started or self.complete:
            raise RuntimeError("a piece of the body has no place at this point of an answer")
        wire = self._wire
        if self._chunked and data:
            wire.write(CHUNK % (len(data), data))  # as `write` would, with two calls less for each event of a stream
        else:
            self.write(data, more=True)
        return not wire.congested

    def finish(self, data: bytes) -> bool:
        """Write the last piece; whether there is room for more. See `core.asgi.ClientConnection`."""
        if self.gone:
            return False
        if not self.started or self.complete:
            raise RuntimeError("an end has no place at this point of an answer")
        self.write(data, more=False)
        return not self._wire.congested

    # What the messages of ASGI say.

    def begin(self, status: int, headers: Headers) -> None:
        """Write the head; of the fields that are the server's to write, the length is believed and `close` is heard.

        Raises:
            RuntimeError: a field holds a line break or a NUL; nothing was written.
        """
        length = None
        for name, _ in headers:
            if name in FRAMING:
                headers, length = self._without_framing(headers)
                break
        head = self._head(status, headers, length)
        self._left = length
        if length is None or self._mute:
            self._wire.write(head)
        else:
            self._held = head

    def write(self, body: bytes, *, more: bool) -> None:
        """Write a part of the body, or with its last part the answer's end.

        Raises:
            RuntimeError: the body is not as long as was stated.
        """
        data = self._framed(body, more=more)
        head, self._held = self._held, b""
        if more:
            if head:
                self._wire.write(head)
            if data:
                self._wire.write(data)
            return
        self.complete = True
        if self._news is not None:
            self._wake()
        self._wire.end(head, data)

    def cut(self) -> None:
        """Close the socket after what was written, so that nobody takes it for a whole answer."""
        if self._held:
            self._wire.write(self._held)
        # An answer of unstated length ends with its connection, so that only a reset tells that it was cut.
        self._wire.hang_up(reset=self.started and not self._chunked and self._left is None)

    # Our own: the head, the framing.

    def _head(self, status: int, headers: Headers, length: int | None) -> bytes:
        """Decide how the body is framed, and say so in the head; None: its length is not known."""
        lines = [*map(as_line, headers)]
        given = b"".join(lines)
        if LINE_FEED in given or CARRIAGE_RETURN in given or NUL in given:
            raise RuntimeError("a header of the answer holds a line break or a NUL")  # it would write fields of its own
        if status in BODILESS:
            self._mute, length = True, None
        if length is not None:
            self._chunked = False
            lines.append(b"content-length: %d" % length)
        elif self._mute:
            self._chunked = False
        elif self._chunked:
            lines.append(b"transfer-encoding: chunked")
        if self.more_body:
            self.keep_alive = False  # an early answer: the rest of the request is not worth reading
        if not self.keep_alive:
            lines.append(b"connection: close")
        head = b"\r\n".join((STATUS_LINES[status], self._wire.date_line(), *lines, b"\r\n"))
        self.started = True
        return head

    def _without_framing(self, headers: Headers) -> tuple[Headers, int | None]:
        """The other fields, and the stated length."""
        others: Headers = []
        length = None
        for name, value in headers:
            if name not in FRAMING:
                others.append((name, value))
            elif name == b"content-length":
                length = int(value)
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
        return others, length

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self._mute:
            return b""
        if self._chunked:
            data = CHUNK % (len(body), body) if body else b""
            return data if more else data + LAST_CHUNK
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the answer's body is not as long as its content-length says")
        return body

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
