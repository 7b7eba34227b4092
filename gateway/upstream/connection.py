"""What happens on one socket? One request at a time, its answer, and a death that is explained."""

import asyncio
import errno
import math
import socket
from collections.abc import Callable
from typing import cast

from gateway.core.chunks import sole_chunk
from gateway.upstream import tcp
from gateway.upstream.answer import Answer
from gateway.upstream.errors import STALE, MayHaveRun, NeverSent, UpstreamError
from gateway.upstream.origin import Origin
from gateway.upstream.parser import BadAnswerError, Parser
from gateway.upstream.protocol import Take

HIGH_WATER_BYTES = 32_768
"""A reader further behind than this stops the socket; with one receive of the loop (256,000 bytes) on top at most."""
ONE_WRITE_BYTES = 65_536
"""Bodies up to this size are joined with the head; a larger one is not worth the copy."""

LOST_HOST = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)


class BackendConnection(asyncio.Protocol):
    """One connection to a backend: connecting, then resting and in use by turns, then lost.

    `parser` reads the next answer; from the loop's time `retires` on there is none. `on_lost` is called once, when a
    connection that had been made is lost.
    """

    __slots__ = (
        "_acked_before",
        "_answer",
        "_failure",
        "_has_news",
        "_loop",
        "_made",
        "_on_lost",
        "_paused",
        "_sock",
        "_take",
        "_tls",
        "_transport",
        "_used",
        "_waiter",
        "_written",
        "closed",
        "origin",
        "parser",
        "retires",
    )

    def __init__(
        self, origin: Origin, loop: asyncio.AbstractEventLoop, on_lost: Callable[["BackendConnection"], None]
    ) -> None:
        self.origin = origin
        self.parser = Parser(origin.usual)
        self.retires = math.inf
        self.closed = False
        self._tls = origin.address.tls
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._made = False
        self._answer: Answer | None = None
        self._failure: UpstreamError | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._take: Take | None = None
        self._paused = False
        self._used = False
        self._written = 0
        self._acked_before = 0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.Transport", transport)
        if self.closed:  # aborted while it was being made
            self._transport.abort()
            return
        self._sock: socket.socket = transport.get_extra_info("socket")
        tcp.prepare(self._sock)
        self._has_news = tcp.watcher(self._sock)
        self._written = tcp.acknowledged(self._sock) or 0
        self._made = True

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        answer = self._answer
        if answer is None:  # nobody asked: what came cannot be given to the next request
            self.abort()
            return
        take, waiter = self._take, self._waiter
        if take is None or waiter is None or waiter.done():
            take = None
        elif answer.between_chunks and (piece := sole_chunk(data)):
            self._hand_over(piece, take, waiter)
            return
        try:
            answer.feed(data)
        except BadAnswerError as error:
            self._failure = MayHaveRun(error.reason)
            self.abort()
        if take is not None and waiter is not None and not self.closed:
            wants_more = not answer.pieces or self._hand_over(answer.take(), take, waiter)
            if wants_more and not answer.complete:
                return
        elif answer.behind > HIGH_WATER_BYTES and not (answer.complete or self._paused or self.closed):
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The backend will send nothing more; the socket is closed, even if it still takes bytes."""
        self._ended(None)
        self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed, by us or by an error."""
        self._ended(exc)
        self.closed = True
        self.parser.close()
        self._wake()
        self._on_lost(self)

    # What the client calls.

    def usable(self) -> bool:
        """Whether a request may be written: open, and the kernel holds nothing that was not asked for."""
        return not (self.closed or self._has_news(0))

    def ask(self, head: bytes, body: bytes, answer: Answer) -> None:
        """Write a request; `news` tells when something of its answer has come."""
        self._answer = answer
        self._acked_before = (tcp.acknowledged(self._sock) or 0) if self._tls else self._written
        self._written += len(head) + len(body)
        if len(body) <= ONE_WRITE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def news(self, take: Take | None = None) -> asyncio.Future[bool]:
        """To be awaited: done when something has come or nothing more will. Who is cancelled there must `abort`.

        With `take`, pieces are given to it instead, and it is done when that returned False (which is then its
        result), raised, or nothing more will come.

        Raises:
            NeverSent, MayHaveRun: nothing more will come, and that is not the answer's clean end.
        """
        if self.closed:
            raise self._failure or MayHaveRun("closing")
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if take is not None:
            tcp.acknowledge_late(self._sock)
        self._take = take
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def release(self) -> bool:
        """End the exchange; True when the connection may carry another request, else it is closed."""
        answer, self._answer = self._answer, None
        if answer is not None and not self.closed:
            if answer.complete and answer.reusable and not self._transport.get_write_buffer_size():
                self._used = True
                if answer.pieces or not self.parser.clean:
                    self.parser.close()  # only one that stands where a fresh one would reads the next answer
                    self.parser = Parser(self.origin.usual)
                return True
            answer.stop()
        self.abort()
        return False

    def abort(self) -> None:
        """Close the socket now, whatever is under way; the backend sees it at once."""
        if self.closed:
            return
        self.closed = True
        if not self._made:
            return  # not made yet: `connection_made` will see it
        tcp.drop_unsent(self._sock, self._transport.get_write_buffer_size())
        self._transport.abort()

    def _hand_over(self, piece: bytes, take: Take, waiter: "asyncio.Future[bool]") -> bool:
        """Give a piece to whoever takes them; whether it wants more."""
        try:
            if take(piece):
                return True
            waiter.set_result(False)
        except Exception as error:  # noqa: BLE001 -- it is raised where `news` is awaited
            waiter.set_exception(error)
        return False

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(True)

    def _ended(self, exc: Exception | None) -> None:
        """The backend's end, or an error: finish the answer or explain why there is none."""
        answer = self._answer
        if answer is None or self.closed:
            return
        if not answer.touched:
            self._failure = self._explain(exc)
        elif exc is not None and not answer.complete:
            self._failure = MayHaveRun(_word(exc))
        else:
            try:
                answer.eof()
            except BadAnswerError as error:
                self._failure = MayHaveRun(error.reason)

    def _explain(self, exc: Exception | None) -> UpstreamError:
        """No byte of an answer came: is it proven that the request did not run?

        It is when the backend's end (FIN) came and acknowledged nothing of the request: the program on the other side
        had closed its socket before. A reset alone proves nothing, because what it acknowledges is not counted.
        """
        acked = tcp.acknowledged_by_fin(self._sock)
        if acked is not None and acked <= self._acked_before:
            return NeverSent(STALE if self._used else "closed")
        return MayHaveRun("closed" if exc is None or isinstance(exc, BrokenPipeError) else _word(exc))


def _word(exc: Exception | None) -> str:
    return "timeout" if isinstance(exc, OSError) and exc.errno in LOST_HOST else "reset"
