"""What does the backend say? Bytes in, one answer out; no I/O."""

from collections.abc import Callable

import httptools

from gateway.core.asgi import Headers

MAX_FRAMING_BYTES = 65_536
"""Bytes in a row that are no body: a head, interim answers, chunk extensions or trailers. More is refused."""
MAX_FIELDS = 256
"""Fields of one head; vLLM's own bound for requests."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"server",
        b"date",
    }
)
"""Fields that belong to one connection, or that our own server states about itself."""

VERSIONS = ("1.1", "1.0")
SWITCHING, FIRST_FINAL, LAST_FINAL = 101, 200, 599
NO_BODY = (204, 304)


class BadAnswerError(Exception):
    """The bytes are no answer that we accept; `reason` is the word for `MayHaveRun`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Answer:
    """The parser of one answer.

    Attributes:
        status, headers, content_length: as in `protocol.Reply`, once `head_done`.
        head_done: the final head is complete.
        complete: the body has ended cleanly; what follows belongs to nobody.
        pieces: body bytes that nobody has taken yet.
        behind: bytes fed since the last `take`: what a slow reader keeps in memory, framing included.
        touched: at least one byte has come.
        reusable: the connection may carry another request.
    """

    __slots__ = (
        "_chunked",
        "_feed",
        "_framing",
        "_head_only",
        "_interim",
        "_named",
        "_parser",
        "behind",
        "complete",
        "content_length",
        "head_done",
        "headers",
        "on_body",
        "pieces",
        "reusable",
        "status",
        "touched",
    )

    def __init__(self, *, head_only: bool = False) -> None:
        self.status = 0
        self.headers: Headers = []
        self.content_length: int | None = None
        self.head_done = self.complete = self.touched = self.reusable = False
        self.pieces: list[bytes] = []
        self.behind = 0
        self._head_only = head_only
        self._chunked = self._interim = False
        self._framing = 0
        self._named: list[bytes] = []
        self.on_body = self.pieces.append  # the parser calls the list itself: no Python frame per piece
        self._parser = httptools.HttpResponseParser(self)
        self._feed: Callable[[bytes], None] | None = self._parser.feed_data

    def feed(self, data: bytes) -> None:
        """Take bytes as they came from the socket.

        Raises:
            BadAnswerError: they are no answer; what was read before stays readable.
        """
        feed = self._feed
        if feed is None:  # complete: whatever comes now was not asked for
            self.reusable = False
            return
        if not self.touched and not data.startswith(b"H"):
            self.stop()
            raise BadAnswerError("malformed")  # llhttp would take RTSP and ICE too
        self.touched = True
        self.behind += len(data)
        before = len(self.pieces)
        try:
            feed(data)
        except httptools.HttpParserError as error:
            if not self.complete:
                self.stop()
                cause = error.__context__
                raise (cause if isinstance(cause, BadAnswerError) else BadAnswerError("malformed")) from None
            self.reusable = False
        if self.complete:
            self.stop()
            if self._head_only and self.pieces:
                self.pieces.clear()  # a body where none may be
                self.reusable = False
        elif len(self.pieces) > before:
            self._framing = 0
        else:
            self._framing += len(data)
            if self._framing > MAX_FRAMING_BYTES:
                self.stop()
                raise BadAnswerError("malformed" if self.head_done else "head_too_large")

    def eof(self) -> None:
        """The backend has ended the connection: the clean end of a body without a length, else a cut.

        Raises:
            BadAnswerError: something was still to come.
        """
        self.reusable = False
        if self.complete:
            return
        self.stop()
        if not self.head_done:
            raise BadAnswerError("closed")
        if self._chunked or self.content_length is not None:
            raise BadAnswerError("cut")
        self.complete = True

    def take(self) -> bytes:
        """The body bytes that have come since the last call."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.behind = 0
        return data

    def stop(self) -> None:
        """Parse no more; lets go of the parser, which holds us in a reference cycle."""
        if self._feed is not None:
            self._feed = None
            del self._parser

    # What httptools calls.

    def on_message_begin(self) -> None:
        """An answer begins; the second one is nobody's."""
        if self.complete:
            raise BadAnswerError("malformed")  # a second answer: feed() only marks the connection

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of a head, or a trailer."""
        if self.head_done:
            return  # a trailer
        name = name.lower()
        if name not in HOP_BY_HOP:
            self.headers.append((name, value.rstrip(b" \t")))
            if name == b"content-length":
                self.content_length = int(value)
        elif name == b"transfer-encoding":
            if self._chunked or value.strip(b" \t").lower() != b"chunked":
                raise BadAnswerError("malformed")  # a coding that we would have to undo
            self._chunked = True
        elif name == b"connection":
            self._named += [token.strip(b" \t").lower() for token in value.split(b",")]

    def on_headers_complete(self) -> None:
        """A head is complete: an interim one is skipped, the final one decides how the body ends."""
        parser = self._parser
        status = parser.get_status_code()
        version = parser.get_http_version()
        if version not in VERSIONS or (self._chunked and version != "1.1"):
            raise BadAnswerError("malformed")
        if status < FIRST_FINAL:
            self._skip_interim(status)
            return
        if status > LAST_FINAL or len(self.headers) > MAX_FIELDS:
            raise BadAnswerError("malformed" if status > LAST_FINAL else "head_too_large")
        self.status = status
        self.head_done = True
        self.reusable = parser.should_keep_alive()
        self._finish_head()

    def on_message_complete(self) -> None:
        """An answer has ended."""
        if self._interim:
            self._interim = False
        elif not self._head_only:
            self.complete = True

    def _skip_interim(self, status: int) -> None:
        if status < SWITCHING - 1 or status == SWITCHING:
            raise BadAnswerError("malformed")  # nobody asked for another protocol
        self._interim = True
        self.headers = []
        self._named = []
        self._chunked = False
        self.content_length = None

    def _finish_head(self) -> None:
        if self.behind > MAX_FRAMING_BYTES and sum(len(n) + len(v) for n, v in self.headers) > MAX_FRAMING_BYTES:
            raise BadAnswerError("head_too_large")
        if self._named:
            gone = frozenset(self._named) - {b"content-length"}
            self.headers = [field for field in self.headers if field[0] not in gone]
        if self._head_only or self.status in NO_BODY:
            self.content_length = 0
            self.complete = True
