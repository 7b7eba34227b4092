"""What does httptools read in a backend's bytes? The heads it tells of, judged, and the bodies; no I/O."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import httptools

from gateway.core.asgi import first_of
from gateway.upstream.usual import UsualAnswer

if TYPE_CHECKING:
    from gateway.upstream.answer import Answer

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

    def __init__(self, usual: UsualAnswer | None = None) -> None:
        self.usual = usual or UsualAnswer()
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
        elif self.chunked:
            self._learn(answer, None)
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

    def _learn(self, answer: "Answer", length: int | None) -> None:
        """Remember a head that came at once and says no more than its fields and its length, or that chunks follow."""
        at_once = answer.behind == len(self._first)
        if at_once and self.recent and self._named is None and answer.reusable:
            if length is None:
                self.usual.stream.learn(self._first, answer.status, answer.headers)
            else:
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
