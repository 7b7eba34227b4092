"""Which connection carries the next request? Idle ones, newest first, and one bound over all backends."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.upstream.connection import BackendConnection
from gateway.upstream.errors import NeverSent, PoolExhausted
from gateway.upstream.origin import Origin

if TYPE_CHECKING:
    from gateway.upstream.settings import UpstreamSettings


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits for room; granted a place for its `connection`, or an idle one in its stead."""

    connection: BackendConnection
    granted: asyncio.Future[BackendConnection]


class Pool:
    """The connections of one worker, of one event loop. Every method but `enter` is synchronous."""

    def __init__(self, settings: "UpstreamSettings") -> None:
        self._max = settings.upstream_max_connections
        self._max_idle = settings.upstream_max_keepalive if settings.upstream_keepalive_secs else 0
        self._wait_secs = settings.upstream_connect_timeout_secs
        self._idle_secs = settings.upstream_keepalive_secs
        self._age_secs = settings.upstream_max_connection_age_secs
        self._open: set[BackendConnection] = set()
        self._origins: dict[Origin, None] = {}  # in the order of their first connections
        self._idle_count = 0
        self._waiters: deque[_Waiter] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop

    def __repr__(self) -> str:
        return f"<Pool {len(self._open)} open, {self._idle_count} idle, {len(self._waiters)} waiting>"

    @property
    def counts(self) -> tuple[int, int, int]:
        """Open connections (idle and connecting ones included), idle ones, requests that wait for one."""
        return len(self._open), self._idle_count, len(self._waiters)

    def take(self, origin: Origin) -> BackendConnection | None:
        """The idle connection to a backend that was used last, or None."""
        resting = origin.resting
        if not resting:
            return None
        now = self._loop.time()
        while resting:
            connection, expires = resting.popitem()
            self._idle_count -= 1
            if expires > now < connection.retires and connection.usable():
                return connection
            connection.abort()
        return None

    async def enter(self, connection: BackendConnection) -> BackendConnection:
        """Count a connection that is about to be made, waiting for room; an idle one may come back in its stead.

        Raises:
            PoolExhausted: there was no room in time.
            NeverSent: the pool is closing.
        """
        if self._emptied is not None:
            raise NeverSent("closing")
        self._loop = asyncio.get_running_loop()
        connection.retires = self._loop.time() + self._age_secs
        self._origins[connection.origin] = None
        if len(self._open) < self._max and not self._waiters:
            self._open.add(connection)
            return connection
        waiter = _Waiter(connection, self._loop.create_future())
        self._waiters.append(waiter)
        self._make_room()
        try:
            async with asyncio.timeout(self._wait_secs):
                return await waiter.granted
        except BaseException as error:
            self._withdraw(waiter)
            if isinstance(error, TimeoutError):
                raise PoolExhausted from None
            raise

    def give_back(self, connection: BackendConnection) -> None:
        """End an exchange: the connection rests, goes to a waiter, or is closed."""
        if connection.release():
            self._rest(connection)

    def leave(self, connection: BackendConnection) -> None:
        """Forget a connection that is lost or was never made; idempotent."""
        if connection not in self._open:
            return
        self._open.discard(connection)
        if connection.origin.resting.pop(connection, None) is not None:
            self._idle_count -= 1
        self._grant()
        if self._emptied is not None and not self._open:
            self._emptied.set()

    def drop_idle(self, origin: Origin) -> None:
        """Close every idle connection to a backend."""
        resting, origin.resting = origin.resting, {}
        self._idle_count -= len(resting)
        for connection in resting:
            connection.abort()

    async def aclose(self) -> None:
        """Close every connection and wait until their sockets are closed."""
        self._emptied = self._emptied or asyncio.Event()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._waiters:
            granted = self._waiters.popleft().granted
            if not granted.done():
                granted.set_exception(NeverSent("closing"))
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            await self._emptied.wait()

    def _rest(self, connection: BackendConnection) -> None:
        if connection.closed:
            return
        now = self._loop.time()
        if now >= connection.retires:
            connection.abort()
            return
        if self._waiters:
            self._grant_idle(connection)
            return
        if self._emptied is not None or not self._max_idle:
            connection.abort()
            return
        if self._idle_count >= self._max_idle:
            self._close_oldest()
        connection.origin.resting[connection] = now + self._idle_secs
        self._idle_count += 1
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._idle_secs, self._sweep)

    def _sweep(self) -> None:
        """Close what has rested for too long, and come again when the next one will have."""
        now = self._loop.time()
        self._sweeper = None
        for resting in self._shelves():
            while resting:
                connection, expires = next(iter(resting.items()))
                if expires > now:
                    break
                del resting[connection]
                self._idle_count -= 1
                connection.abort()
        due = min((next(iter(resting.values())) for resting in self._shelves()), default=None)
        if due is not None:
            self._sweeper = self._loop.call_at(due, self._sweep)

    def _shelves(self) -> list[dict[BackendConnection, float]]:
        """The idle connections of each backend that has some."""
        return [origin.resting for origin in self._origins if origin.resting]

    def _close_oldest(self) -> None:
        """Close the connection that has rested longest, of whatever backend."""
        shelves = self._shelves()
        if shelves:
            oldest = min(shelves, key=lambda resting: next(iter(resting.values())))
            connection = next(iter(oldest))
            del oldest[connection]
            self._idle_count -= 1
            connection.abort()

    def _make_room(self) -> None:
        """An idle connection to another backend gives way to a waiting request."""
        if len(self._open) >= self._max:
            self._close_oldest()

    def _grant(self) -> None:
        """Give free places to those who wait, first come, first served."""
        while self._waiters and len(self._open) < self._max:
            waiter = self._waiters.popleft()
            if not waiter.granted.done():
                self._open.add(waiter.connection)
                waiter.granted.set_result(waiter.connection)

    def _grant_idle(self, connection: BackendConnection) -> None:
        """The first who waits gets this connection, or its place when it leads elsewhere."""
        while self._waiters and self._waiters[0].granted.done():
            self._waiters.popleft()
        if self._waiters and self._waiters[0].connection.origin is connection.origin:
            self._waiters.popleft().granted.set_result(connection)
        else:
            connection.abort()

    def _withdraw(self, waiter: _Waiter) -> None:
        """A request gave up waiting, perhaps in the moment in which it was granted something: pass that on."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            granted = waiter.granted.result()
            if granted is waiter.connection:
                self.leave(granted)
            else:
                self._rest(granted)
