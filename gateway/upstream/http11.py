"""How is a request sent to vLLM? An HTTP/1.1 client on httptools: no task and no timer per request."""

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.core.clock import SystemClock
from gateway.core.context import Phase
from gateway.core.structs import stored_plainly
from gateway.upstream.address import Address
from gateway.upstream.answer import Answer
from gateway.upstream.connection import BackendConnection
from gateway.upstream.errors import STALE, NeverSent, PoolExhausted, no_connection
from gateway.upstream.origin import Origin
from gateway.upstream.pool import Pool
from gateway.upstream.protocol import Take, UpstreamRequest
from gateway.upstream.resolver import Lookup, Resolver, system_lookup

if TYPE_CHECKING:
    from gateway.upstream.settings import UpstreamSettings

_WAITING = Phase.WAITING


class Http11Client:
    """`UpstreamClient` over sockets of its own; belongs to the event loop that first uses it."""

    def __init__(
        self,
        settings: "UpstreamSettings",
        lookup: Lookup = system_lookup,
        now: Callable[[], float] = SystemClock.monotonic,
    ) -> None:
        self._now = now
        self._pool = Pool(settings)
        self._origins: dict[Address, Origin] = {}
        self._resolver = Resolver(settings.upstream_dns_secs, lookup)
        self._connect_secs = settings.upstream_connect_timeout_secs
        self._ca_file = settings.upstream_ca_file
        self._tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"<Http11Client {self._pool!r}>"

    @property
    def counts(self) -> tuple[int, int, int]:
        """Open connections (idle and connecting ones included), idle ones, requests that wait for one."""
        return self._pool.counts

    async def send(self, address: Address, request: UpstreamRequest) -> "Http11Reply":
        """Send one request and return when the answer's headers are there; see `protocol.UpstreamClient`.

        A kept-alive connection that had died unnoticed is replaced once, which blames no backend.
        """
        origin = self._origins.get(address)
        if origin is None:
            origin = self._origins[address] = Origin(address)
        head = origin.writer.head(request)
        pool = self._pool
        connection = pool.take(origin)
        if connection is None:
            connection = await self._connected(origin)
        progress = request.progress
        if progress is not None:
            progress.phase = _WAITING
            progress.sent_at = progress.sent_at or self._now()
        replaced = False
        while True:
            reply = Http11Reply(connection.parser, request.method, connection=connection, pool=pool)
            try:
                connection.ask(head, request.body, reply)
                while not reply.head_done:
                    await connection.news()
            except NeverSent as error:
                pool.give_back(connection)
                # The others have rested longer than this one did: their backend has closed them too.
                pool.drop_idle(origin)
                if replaced or error.reason != STALE:
                    raise
            except BaseException:
                pool.give_back(connection)
                raise
            else:
                return reply
            connection, replaced = await self._connected(origin), True

    async def aclose(self) -> None:
        """Close every connection, those in use included, and wait until their sockets are closed."""
        await self._pool.aclose()

    async def _connected(self, origin: Origin) -> BackendConnection:
        """A new connection, or an idle one that became free while this request waited for room."""
        new = BackendConnection(origin, asyncio.get_running_loop(), self._pool.leave)
        connection = await self._pool.enter(new)
        if connection is not new:
            if connection.usable():
                return connection
            connection.abort()
            return await self._connected(origin)
        try:
            async with asyncio.timeout(self._connect_secs):
                await self._connect(new)
        except BaseException as error:
            self._pool.leave(new)
            new.abort()
            if isinstance(error, TimeoutError):
                raise NeverSent("connect_timeout") from None
            raise
        if _is_fit_when_new(new):
            return new
        new.abort()  # the backend closed it, or spoke before it was asked
        raise NeverSent("closed")

    async def _connect(self, connection: BackendConnection) -> None:
        """Try the host's addresses in the resolver's order, each for its share of what is left of the time.

        Otherwise one that swallows packets would leave no time for the next.
        """
        address = connection.origin.address
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._connect_secs
        tls, name = (self._context(), address.host) if address.tls else (None, None)
        failure: NeverSent | PoolExhausted = NeverSent("dns")
        found = await self._resolver.resolve(address.host)
        for left, ip in zip(range(len(found), 0, -1), found, strict=True):
            now = loop.time()
            try:
                async with asyncio.timeout_at(now + (ends - now) / left):
                    await loop.create_connection(lambda: connection, ip, address.port, ssl=tls, server_hostname=name)
            except ssl.SSLError:
                failure = NeverSent("tls")
            except ConnectionRefusedError:
                failure = NeverSent("refused")
            except TimeoutError:
                failure = NeverSent("connect_timeout")
            except OSError as error:
                failure = no_connection(error, "unreachable")
            else:
                return
        raise failure

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


@stored_plainly
class Http11Reply(Answer, eq=False):
    """`Reply` on a connection of the pool: the answer itself, which is one object less for each request.

    Attributes:
        connection: what carries it; None once it is closed.
        pool: where the connection goes then.
    """

    connection: BackendConnection | None = None
    pool: Pool = None  # type: ignore[assignment]  # set where it is made: a field without a default may not follow

    async def read(self) -> bytes:
        """What has arrived since the last call; b"" at the clean end. See `protocol.Reply`."""
        while not self.pieces:
            if self.complete:
                return b""
            connection = self.connection
            if connection is None:
                raise RuntimeError("the reply is closed")
            try:
                await connection.news()
            except asyncio.CancelledError:
                connection.abort()
                raise
        return self.take()

    async def pour(self, take: Take) -> None:
        """Give each piece to `take` as it comes. See `protocol.Reply`."""
        while True:
            if self.pieces:
                if not take(self.take()):
                    return
                continue
            if self.complete:
                return
            connection = self.connection
            if connection is None:
                raise RuntimeError("the reply is closed")
            try:
                if not await connection.news(take):
                    return
            except asyncio.CancelledError:
                connection.abort()
                raise

    def close(self) -> None:
        """Keep the connection when the answer is complete and clean, else close its socket at once; idempotent."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self.pool.give_back(connection)

    def discard(self) -> None:
        """Close the socket at once, however clean the answer looks."""
        if self.connection is not None:
            self.connection.abort()
        self.close()


def _is_fit_when_new(connection: BackendConnection) -> bool:
    """Whether a connection that was just made can carry a request.

    `usable` takes unread bytes for an answer that nobody asked for; after a TLS handshake they are session tickets.
    """
    if connection.origin.address.tls:
        return not connection.closed
    return connection.usable()
