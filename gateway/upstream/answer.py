"""What does the backend say? Bytes in, one answer out; no I/O."""

from collections.abc import Callable

import httptools

from gateway.core.asgi import Headers, first_of
from gateway.core.chunks import sole_chunk
from gateway.upstream.usual import LENGTH_NAME, MAX_DIGITS, UsualHead

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
OURS = frozenset({b"server", b"date"})
"""The ones that every answer of vLLM has, as uvicorn spells them; found before anything is done about them."""

VERSIONS = ("1.1", "1.0")
USUAL_START = b"HTTP/1.1 "
SWITCHING, FIRST_FINAL, LAST_FINAL = 101, 200, 599
NO_BODY = (204, 304)
BLANK = 32


class BadAnswerError(Exception):
    """The bytes are no answer that we accept; `reason` is the word for `MayHaveRun`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Parser:
    """What one connection's answers have in common: httptools' parser, what it calls, and the head they repeat.

    httptools' parser is made when an answer has a head that is not the usual one. It serves one answer after another,
    because making one costs a third of reading an answer. The connection passes it on only when an answer ended by its
    own framing with nothing after it: it then stands where a fresh one would.

    Args:
        usual: the head that the backend's answers repeat.

    Attributes:
        pieces: body bytes of the answer that is being read.
        clean: what was fed ended by its own framing: a next answer may be read.
        chunked: the answer's body comes in chunks.
        head_only: its request was a HEAD.
        recent: its first bytes state HTTP/1.1, so that its final head need not be asked for its version.
    """

    __slots__ = (
        "_answer",
        "_first",
        "_interim",
        "_llhttp",
        "_named",
        "chunked",
        "clean",
        "feed",
        "head_only",
        "on_body",
        "pieces",
        "recent",
        "usual",
    )

    def __init__(self, usual: UsualHead | None = None) -> None:
        self.usual = usual or UsualHead()
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # httptools calls the list itself: no Python frame per piece
        self.clean = True
        self.chunked = self.head_only = False
        self._llhttp: httptools.HttpResponseParser | None = None
        self.feed: Callable[[bytes], None]
        self._answer: Answer

    def begin(self, answer: "Answer", method: bytes, first: bytes) -> None:
        """Read into `answer`, to a request of that method, from now on; `first` is what has come of it."""
        if self._llhttp is None:
            self._llhttp = httptools.HttpResponseParser(self)
            self.feed = self._llhttp.feed_data
        self._answer = answer
        self._named: list[bytes] | None = None
        self._interim = False
        self.head_only = method == b"HEAD"
        self.chunked = self.clean = False
        self.recent = first.startswith(USUAL_START)
        self._first = first

    def on_message_begin(self) -> None:
        """An answer begins; the second one is nobody's."""
        if self._answer.complete:
            raise BadAnswerError("malformed")  # a second answer: feed() only marks the connection

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of a head, or a trailer."""
        answer = self._answer
        if name in OURS or answer.head_done:
            return  # a trailer, or what our own server states about itself
        name = name.lower()
        if name not in HOP_BY_HOP:
            if value and value[-1] <= BLANK:
                value = value.rstrip(b" \t")
            answer.headers.append((name, value))
            if name == b"content-length":
                answer.content_length = int(value)
        elif name == b"transfer-encoding":
            if self.chunked or value.strip(b" \t").lower() != b"chunked":
                raise BadAnswerError("malformed")  # a coding that we would have to undo
            self.chunked = True
        elif name == b"connection":
            named = [token.strip(b" \t").lower() for token in value.split(b",")]
            self._named = named + (self._named or [])

    def on_headers_complete(self) -> None:
        """A head is complete: an interim one is skipped, the final one decides how the body ends."""
        answer, llhttp = self._answer, self._llhttp
        assert llhttp is not None  # noqa: S101 -- it is what calls this
        status = llhttp.get_status_code()
        if not self.recent:
            self._check_version(llhttp.get_http_version())
        if status < FIRST_FINAL:
            self._skip_interim(status)
            return
        if status > LAST_FINAL or len(answer.headers) > MAX_FIELDS:
            raise BadAnswerError("malformed" if status > LAST_FINAL else "head_too_large")
        answer.status = status
        answer.head_done = True
        answer.reusable = llhttp.should_keep_alive()
        if answer.behind > MAX_FRAMING_BYTES and sum(len(n) + len(v) for n, v in answer.headers) > MAX_FRAMING_BYTES:
            raise BadAnswerError("head_too_large")
        if self._named is not None:
            gone = frozenset(self._named) - {b"content-length"}
            answer.headers = [field for field in answer.headers if field[0] not in gone]
        answer.content_type = first_of(answer.headers, b"content-type")
        if self.head_only or status in NO_BODY:
            answer.content_length = 0
            answer.complete = True
        elif answer.content_length is not None:
            self._learn(answer, answer.content_length)
        self._first = b""

    def on_message_complete(self) -> None:
        """An answer has ended."""
        if self._interim:
            self._interim = False
        elif not self.head_only:
            self._answer.complete = self.clean = True

    def close(self) -> None:
        """Let go of httptools' parser, which holds us in a reference cycle; nothing may be fed any more."""
        if self._llhttp is not None:
            del self._llhttp, self.feed

    def _learn(self, answer: "Answer", length: int) -> None:
        """Remember a head that came at once and says no more than its fields and its length."""
        at_once = answer.behind == len(self._first)
        if at_once and self.recent and self._named is None and answer.reusable:
            self.usual.learn(self._first, answer.status, answer.headers, length)

    def _check_version(self, version: str) -> None:
        if version not in VERSIONS or (self.chunked and version != "1.1"):
            raise BadAnswerError("malformed")

    def _skip_interim(self, status: int) -> None:
        if status < SWITCHING - 1 or status == SWITCHING:
            raise BadAnswerError("malformed")  # nobody asked for another protocol
        self._interim = True
        self._named = None
        self.chunked = self.recent = False  # what was seen of the first bytes does not speak for a second head
        self._answer.headers = []
        self._answer.content_length = None


class Answer:
    """One answer.

    Args:
        parser: what read the connection's last answer, when it may read this one.
        method: the request's; the answer to a HEAD has no body.

    Attributes:
        status, headers, content_type, content_length: as in `protocol.Reply`, once `head_done`.
        head_done: the final head is complete.
        complete: the body has ended cleanly; what follows belongs to nobody.
        pieces: body bytes that nobody has taken yet.
        behind: bytes fed since the last `take`: what a slow reader keeps in memory, framing included.
        touched: at least one byte has come.
        between_chunks: llhttp is known to stand where a chunk begins. A `core.chunks.sole_chunk` need not be fed then,
            where nothing waits to be taken: behind it, llhttp would stand where it stands.
        reusable: the connection may carry another request.
    """

    __slots__ = (
        "_framing",
        "_left",
        "_method",
        "_parser",
        "behind",
        "between_chunks",
        "complete",
        "content_length",
        "content_type",
        "head_done",
        "headers",
        "pieces",
        "reusable",
        "status",
        "touched",
    )

    def __init__(self, parser: Parser | None = None, method: bytes = b"POST") -> None:
        self.status = 0
        self.headers: Headers = []
        self.content_type = b""
        self.content_length: int | None = None
        self.head_done = self.complete = self.touched = self.reusable = self.between_chunks = False
        self.behind = self._framing = self._left = 0
        if parser is None:
            parser = Parser()
        self._parser: Parser | None = parser
        self._method = method
        self.pieces = parser.pieces

    def feed(self, data: bytes) -> None:
        """Take bytes as they came from the socket.

        Raises:
            BadAnswerError: they are no answer; what was read before stays readable.
        """
        parser = self._parser
        if parser is None:
            self._count(data)
            return
        self.behind += len(data)
        if not self.touched:
            if self._recognise(parser.usual, data):
                return
            self._begin(parser, data)
        pieces = self.pieces
        before = len(pieces)
        self.between_chunks = False
        try:
            parser.feed(data)
        except httptools.HttpParserError as error:
            if not self.complete:
                self.stop()
                cause = error.__context__
                raise (cause if isinstance(cause, BadAnswerError) else BadAnswerError("malformed")) from None
            self.reusable = False
        if self.complete:
            if pieces and parser.head_only:
                pieces.clear()  # a body where none may be
                self.reusable = False
            self.stop()
        elif len(pieces) > before:
            self._framing = 0
            self.between_chunks = len(pieces) == before + 1 and _came_alone(pieces[-1], data)
        else:
            self._framing += len(data)
            if self._framing > MAX_FRAMING_BYTES:
                self.stop()
                raise BadAnswerError("malformed" if self.head_done else "head_too_large")

    def _recognise(self, usual: UsualHead, data: bytes) -> bool:
        """Take in a usual head and what follows of its body; False when this is none, and nothing has been done."""
        prefix = usual.prefix
        if not data.startswith(prefix) or self._method == b"HEAD":
            return False
        digits, suffix, body = data[len(prefix) :].partition(usual.suffix)
        if not (suffix and digits.isdigit() and len(digits) <= MAX_DIGITS):
            return False
        length = int(digits)
        left = length - len(body)
        if left < 0:
            return False
        self.status = usual.status
        self.headers = [*usual.before, (LENGTH_NAME, digits), *usual.after]
        self.content_type = usual.content_type
        self.content_length = length
        self.touched = self.head_done = self.reusable = True
        if body:
            self.pieces.append(body)
        self._left = left
        self.complete = not left
        self._parser = None
        return True

    def _count(self, data: bytes) -> None:
        """Take in what follows a usual head, or notice what follows an end: that was not asked for."""
        left = self._left
        if len(data) > left:
            self.reusable = False
            data = data[:left]
        if left:
            self.behind += len(data)
            self.pieces.append(data)
            self._left = left - len(data)
            self.complete = not self._left

    def eof(self) -> None:
        """The backend has ended the connection: the clean end of a body without a length, else a cut.

        Raises:
            BadAnswerError: something was still to come.
        """
        self.reusable = False
        if self.complete:
            return
        chunked = self._parser is not None and self._parser.chunked
        self.stop()
        if not self.head_done:
            raise BadAnswerError("closed")
        if chunked or self.content_length is not None:
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
        """Parse no more; lets go of the parser."""
        self._parser = None

    def _begin(self, parser: Parser, data: bytes) -> None:
        parser.begin(self, self._method, data)
        if not parser.recent and not data.startswith(b"H"):
            self.stop()
            raise BadAnswerError("malformed")  # llhttp would take RTSP and ICE too
        self.touched = True


def _came_alone(body: bytes, data: bytes) -> bool:
    """Whether llhttp, which found `body` and no other in `data`, read them as one chunk from end to end.

    The rest of an earlier chunk would begin where the data do. llhttp tells of empty bodies too.
    """
    return bool(body) and body == sole_chunk(data) and body[0] != data[0]
