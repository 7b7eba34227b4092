"""What may be asked of the server now? The connection of the moment, scripts by digest, and messages for who waits."""

import asyncio
from collections.abc import Callable
from functools import partial

import hiredis

from gateway.core.clock import Clock, SystemClock
from gateway.core.timings import Timings, Untimed
from gateway.store.subjects import samples
from gateway.store.valkey.address import Address
from gateway.store.valkey.connection import Connection, LostError, RefusedError, Reply, Word, ask, connect
from gateway.store.valkey.scripts import WORKERS, Script, Scripts

NOT_LOADED = "NOSCRIPT"
HOPS = 3
"""From the node of REDIS_URL to the one that has our keys, and once more while they move."""


class Session:
    """The server as one worker sees it; without a connection every question is LostError at once.

    `on_heard` is told the token of a request that waits and has a slot now, or a seat at that backend; `on_lost`, why
    there is no connection from now on.
    """

    def __init__(
        self,
        address: Address,
        worker: str,
        patience: float,
        on_heard: Callable[[int, bytes], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.worker = worker
        self.scripts = Scripts()
        self._address = address
        self._patience = patience
        self._on_heard = on_heard
        self._on_lost = on_lost
        self._connection: Connection | None = None
        self.timed(Untimed(), SystemClock())

    def timed(self, timings: Timings, clock: Clock) -> None:
        """Tell of one decision in 31 how long it took, and of all that fail."""
        self._timings = timings
        self._clock = clock
        self._is_sample = samples()

    @property
    def connected(self) -> bool:
        """Is there a connection that is not known to be lost?"""
        return self._connection is not None

    async def open(self, patience: float) -> None:
        """Connect, load the scripts and listen, within so many seconds. Raises LostError."""
        connection = await self._find(patience)
        try:
            for script in self.scripts.all:
                await ask(connection, "SCRIPT", "LOAD", script.text)
        except RefusedError as error:
            connection.close(str(error))
            raise LostError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        connection.listen(f"gw:{self.worker}")
        self._connection = connection

    async def _find(self, patience: float) -> Connection:
        """A connection to the node that has our keys: all of them stand in one slot. Raises LostError."""
        made = partial(Connection, self._patience, self._message, self._lost)
        address = self._address
        for _ in range(HOPS):
            connection = await connect(address, made, patience)
            try:
                await ask(connection, "EXISTS", WORKERS[0])
            except RefusedError as error:
                connection.close(str(error))
                if not error.moved_to():
                    raise LostError(f"{address}: {error}") from error
                address = address.at(error.moved_to())
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise LostError(f"{self._address}: its nodes name one another as those that have our keys")

    def close(self, why: str = "closed by us") -> None:
        """Have no connection."""
        if self._connection is not None:
            self._connection.close(why)

    def member(self, token: int) -> str:
        """The name under which a request of this worker holds or waits."""
        return f"{self.worker}:{token}"

    async def ask(self, *words: Word) -> Reply:
        """The reply to a command. Raises LostError when it is not known to be done.

        An error that the server states is taken for silence: whatever it is, the host's own state is better.
        """
        connection = self._connected()
        return self._checked(connection, await connection.ask(*words))

    async def run(self, script: Script, keys: tuple[bytes, ...], *words: Word) -> Reply:
        """One decision of the server, as `ask`; a server that has forgotten the script gets its text."""
        connection = self._connected()
        began = self._clock.monotonic() if next(self._is_sample) else None
        try:
            reply = await connection.ask("EVALSHA", script.sha, len(keys), *keys, *words)
            if is_forgotten(reply):
                reply = await connection.ask("EVAL", script.text, len(keys), *keys, *words)
            return self._checked(connection, reply)
        except LostError:
            self._timings.failed(script.subject)
            raise
        finally:
            if began is not None:
                self._timings.took(script.subject, self._clock.monotonic() - began)

    def post(self, script: Script, keys: tuple[bytes, ...], *words: Word) -> None:
        """A decision that nobody waits for. Without a connection it is left to the next agreement about the tag."""
        connection = self._connection
        if connection is None:
            return

        def look(done: "asyncio.Future[Reply]") -> None:
            if done.cancelled() or done.exception() is not None:
                return
            if is_forgotten(done.result()):
                again = connection.ask("EVAL", script.text, len(keys), *keys, *words)
                again.add_done_callback(lambda future: future.cancelled() or future.exception())
            elif isinstance(done.result(), hiredis.HiredisError):
                connection.close(f"refused: {done.result()}")

        connection.ask("EVALSHA", script.sha, len(keys), *keys, *words).add_done_callback(look)

    def send(self, *words: Word) -> None:
        """A command that nobody waits for; without a connection nothing."""
        if self._connection is not None:
            self._connection.ask(*words).add_done_callback(lambda done: done.cancelled() or done.exception())

    def _connected(self) -> Connection:
        if self._connection is None:
            raise LostError("no connection")
        return self._connection

    def _checked(self, connection: Connection, reply: Reply) -> Reply:
        if isinstance(reply, hiredis.HiredisError):
            connection.close(f"refused: {reply}")
            raise LostError(f"refused: {reply}")
        return reply

    def _message(self, message: bytes) -> None:
        token, _, backend = message.partition(b" ")
        self._on_heard(int(token), backend)

    def _lost(self, why: str) -> None:
        if self._connection is not None:
            self._connection = None
            self._on_lost(why)


def is_forgotten(reply: Reply) -> bool:
    """Does the server not know the script, because it was started anew or its scripts were flushed?"""
    return isinstance(reply, hiredis.HiredisError) and str(reply).startswith(NOT_LOADED)
