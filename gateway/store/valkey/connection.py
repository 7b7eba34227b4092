"""How is the server asked? One connection, whose commands of one turn of the loop leave in one write.

hiredis writes and parses RESP3; what the server publishes for this worker comes on the same connection.
docs/decisions/0074 has what client libraries cost beside it.

A server is slow if nothing of an answer can be read when its time is up, counted from when the question had left. A
loop that was held up, before it sent the question or before it read the answer, says nothing of the server.
"""

import asyncio
import math
import select
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from gateway.store.valkey.address import Address

AGAIN_SECS = 0.005
"""Between two looks at the least: so long the loop has to read an answer that lies in our own socket."""

Reply = Any
"""What hiredis makes of a reply: bytes, int, None, a list of those, or a HiredisError that the server stated."""

Word = str | int | float | bytes | memoryview


class LostError(Exception):
    """The server did not answer in time, or closed the connection; what was asked may or may not have been done."""


class RefusedError(Exception):
    """The server answered with an error: a full memory, a read-only replica, a script that it will not run."""

    def moved_to(self) -> str:
        """The node of a cluster that has our keys, as `host:port`; empty: that is not what the server says."""
        word, _, rest = str(self).partition(" ")
        return rest.partition(" ")[2] if word == "MOVED" else ""


class _Sent:
    """When the questions of one turn of the loop had left; they have not, as long as that lies ahead of all times."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = math.inf


class Connection(asyncio.Protocol):
    """One connection. `on_message` hears what is published for us, `on_lost`, once, why there is no connection now."""

    def __init__(self, patience: float, on_message: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        self._patience = patience
        self._on_message = on_message
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._asked: deque[tuple[asyncio.Future[Reply], _Sent]] = deque()
        self._next = _Sent()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._readable = select.poll()
        self.lost = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is an asyncio.Transport
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def ask(self, *words: Word) -> "asyncio.Future[Reply]":
        """Send a command; its reply, or LostError. One that is no longer awaited is read past."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self.lost:
            future.set_exception(LostError(self.lost))
            return future
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed(words))
        self._asked.append((future, self._next))
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._look)
        return future

    def listen(self, channel: str) -> None:
        """Hear what is published there; the server answers that with a message, not with a reply."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed(("SUBSCRIBE", channel)))

    def close(self, why: str = "closed by us") -> None:
        """Have no connection from now on; whoever waits for a reply gets LostError."""
        if self.lost:
            return
        self.lost = why
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        for future, _ in self._asked:
            if not future.done():
                future.set_exception(LostError(why))
        self._asked.clear()
        self._on_lost(why)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.close(f"no Redis protocol: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.close(f"closed by the server: {exc}" if exc else "closed by the server")

    def _take(self, reply: Reply) -> None:
        if isinstance(reply, hiredis.PushNotification):
            if reply[0] == b"message":
                self._on_message(reply[2])
            return
        future, _ = self._asked.popleft()
        if not future.done():
            future.set_result(reply)

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._loop.call_soon(self._left, self._next)  # uvloop writes at the end of this turn, whose time stands still
        self._next = _Sent()
        self._out.clear()

    def _left(self, sent: _Sent) -> None:
        sent.at = self._loop.time()

    def _look(self) -> None:
        """Miss the oldest answer, if its time is up and nothing is there to be read, or look again when it is."""
        self._timer = None
        if not self._asked:
            return
        left = self._asked[0][1].at + self._patience - self._loop.time()
        if left <= 0 and not self._readable.poll(0):
            self.close(f"no answer within {self._patience * 1e3:g} ms")
            return
        self._timer = self._loop.call_later(max(AGAIN_SECS, min(left, self._patience)), self._look)


def packed(words: tuple[Word, ...]) -> bytes:
    """A command in the protocol's bytes."""
    return bytes(hiredis.pack_command(words))  # type: ignore[arg-type]  # its stub knows commands of one word


async def connect(address: Address, made: Callable[[], Connection], patience: float) -> Connection:
    """A connection that has said who we are and chosen its database. Raises LostError with the reason.

    A server that is slow has `patience` seconds for all of it: the gateway goes on without it meanwhile.
    """
    loop = asyncio.get_running_loop()
    connection: Connection | None = None
    try:
        async with asyncio.timeout(patience):
            if address.path:
                _, connection = await loop.create_unix_connection(made, address.path)
            else:
                _, connection = await loop.create_connection(made, address.host, address.port, ssl=address.tls_context)
            named = ("AUTH", address.user, address.password) if address.password else ()
            await ask(connection, "HELLO", "3", *named)
            if address.database:
                await ask(connection, "SELECT", str(address.database))
    except (OSError, TimeoutError, RefusedError, LostError) as error:
        if connection is not None:
            connection.close(str(error))
        raise LostError(f"{address}: {explained(error, tls=address.tls)}") from error
    return connection


def explained(error: Exception, *, tls: bool) -> str:
    """Why there is no connection, as a sentence for operators where the library has none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused, {error.verify_message}: REDIS_CA_FILE names the authority that signed it"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or error}"
    return str(error) or ("no answer: see that it speaks TLS on that port" if tls else "no answer")


async def ask(connection: Connection, *words: Word) -> Reply:
    """The reply to a command. Raises LostError, or RefusedError with what the server says."""
    reply = await connection.ask(*words)
    if isinstance(reply, hiredis.HiredisError):
        raise RefusedError(str(reply))
    return reply
