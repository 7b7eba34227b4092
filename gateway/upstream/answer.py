"""What does the backend say? Bytes in, one answer out; no I/O."""

import httptools
from msgspec import Struct, field

from gateway.core.asgi import Headers
from gateway.core.chunks import sole_chunk, whole_chunks
from gateway.core.structs import stored_plainly
from gateway.upstream.parser import MAX_FRAMING_BYTES, BadAnswerError, Parser
from gateway.upstream.usual import LENGTH_NAME, MAX_DIGITS, UsualAnswer, UsualStream


@stored_plainly
class Answer(Struct, eq=False):  # made per request: see core/structs.py
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
        between_chunks: llhttp is known to stand where a chunk begins, or would if it had read the head. A
            `core.chunks.sole_chunk` need not be fed then, where nothing waits to be taken: behind it, llhttp would
            stand where it stands.
        reusable: the connection may carry another request.
    """

    _parser: Parser | None = field(default_factory=Parser)
    _method: bytes = b"POST"
    status: int = 0
    headers: Headers = []
    content_type: bytes = b""
    content_length: int | None = None
    head_done: bool = False
    complete: bool = False
    pieces: list[bytes] = []
    behind: int = 0
    touched: bool = False
    between_chunks: bool = False
    reusable: bool = False
    _framing: int = 0
    _left: int = 0
    _head: bytes = b""
    """The head of a stream that was recognised: llhttp must read it before it can read what follows."""

    def __post_init__(self) -> None:
        """The parser puts the body's bytes where they are taken."""
        if self._parser is not None:
            self.pieces = self._parser.pieces

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
            if self._recognise(parser.usual, data) or self._recognise_stream(parser, data):
                return
            self._begin(parser, data)
        elif parser.clean and self._go_on(parser, data):
            return
        self._read(parser, data)

    def _read(self, parser: Parser, data: bytes) -> None:
        """Have llhttp read them."""
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
            if parser.head_only and (pieces or parser.chunked):
                pieces.clear()  # a body where none may be, or the chunks of an empty one
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

    def _recognise(self, usual: UsualAnswer, data: bytes) -> bool:
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

    def _recognise_stream(self, parser: Parser, data: bytes) -> bool:
        """Take in the usual head of a stream and the chunks that came with it; False as for `_recognise`."""
        usual: UsualStream = parser.usual.stream
        head = usual.head
        if not head or not data.startswith(head) or self._method == b"HEAD":
            return False
        if not self._take_chunks(data[len(head) :]):
            return False
        self._head = head
        self.status = usual.status
        self.headers = usual.headers.copy()
        self.content_type = usual.content_type
        self.touched = self.head_done = self.reusable = self.between_chunks = True
        parser.chunked = True
        return True

    def _take_chunks(self, data: bytes) -> bool:
        """Take in whole chunks behind a head that was recognised; False when these are none, and nothing was done."""
        found = whole_chunks(data)
        if found is None:
            return False
        bodies, self.complete = found
        self.pieces += bodies
        if self.complete:
            self.stop()
        return True

    def _go_on(self, parser: Parser, data: bytes) -> bool:
        """Take in what follows the head that was recognised; False: llhttp, which has read nothing so far, must.

        It reads that head first, and stands between two chunks then, as it would behind those that came.
        """
        if self._take_chunks(data):
            return True
        self.head_done = False
        self.headers = []
        parser.begin(self, self._method, self._head)
        parser.feed(self._head)
        return False

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
