"""A client's connection on paper: what an answer writes, byte for byte."""

from gateway.core.asgi import Headers
from gateway.server.answer_writer import AnswerWriter

DATE = (b"date", b"Sat, 21 Nov 2026 01:00:00 GMT")


class Paper:
    """A `server.wire.Wire` that keeps what it is given.

    Attributes:
        written: what was queued.
        ended: how it ended: "ended" when the answer was, "closed" or "reset" when it was cut, empty before.
    """

    def __init__(self) -> None:
        self.congested = self.slow = False
        self.written = b""
        self.ended = ""

    def date_line(self) -> bytes:
        return b": ".join(DATE)

    def write(self, data: bytes) -> None:
        self.written += data

    async def relieved(self) -> None:
        """There is always room."""

    def resume_body(self) -> None:
        """Nothing was paused."""

    def end(self, head: bytes, body: bytes) -> None:
        self.written += head + body
        self.ended = "ended"

    def untaken(self) -> int:
        return 0

    def undelivered(self) -> int:
        return 0

    def drop(self) -> None:
        self.ended = "reset"

    def hang_up(self, *, reset: bool) -> None:
        self.ended = "reset" if reset else "closed"


def writer(paper: Paper) -> AnswerWriter:
    """What answers a request that has come whole."""
    answer = AnswerWriter(paper)
    answer.more_body = False
    return answer


def whole(status: int, headers: Headers, body: bytes) -> bytes:
    """All that a whole answer writes.

    Raises:
        RuntimeError: a field holds what would write another one.
    """
    paper = Paper()
    writer(paper).answer(status, headers, body)
    return paper.written
