"""How is the database asked? In transactions that end in time, and whose failures are the gateway's own words."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.clock import Clock
from gateway.core.timings import Timings, Untimed
from gateway.database.engine import WRITES, is_sqlite
from gateway.database.errors import DatabaseUnavailableError, translated
from gateway.database.tables import AUDIT, CHANGES, TOMBSTONES

SERVER_BOUNDS = sa.text(
    "SELECT set_config('statement_timeout', :ms, true), set_config('lock_timeout', :ms, true),"
    " set_config('idle_in_transaction_session_timeout', :ms, true)"
)
"""For this transaction alone, as pgbouncer needs it: a host that vanishes in the midst of one keeps no lock."""

OPERATIONS = ("open", "read", "write")
"""What `Timings` are told of."""

GRACE_SECS = 1.0
"""So long a driver may ask a server that has not answered in time to drop the statement; psycopg alone: twice 5 s."""


class Transactions:
    """The ways to read and to write; `timings` hears of each."""

    def __init__(self, engine: AsyncEngine, timeout: float, clock: Clock, timings: Timings | None = None) -> None:
        self._engine = engine
        self._timeout = timeout
        self.clock = clock
        self._timings = timings or Untimed()
        self.sqlite = is_sqlite(engine.url)
        # SQLite's connections are that already (engine.listen), and saying so would cost a statement on their way back.
        self._reading = engine if self.sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writing = engine.execution_options(**{WRITES: True})
        # SQLite's writers wait for each other by looking again and again: those of one process stand in line instead.
        self._turn = asyncio.Lock() if self.sqlite else nullcontext()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from; each statement sees what was committed before it.

        Raises:
            DatabaseUnavailableError: there was no answer in time.
        """
        with self.timed("read"), translated():
            async with in_time(self._timeout), self._reading.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements are kept together at the end, or not at all after an exception.

        Raises:
            DatabaseUnavailableError: there was no answer in time. The commit itself may have come through.
            ConflictError: a unique name is taken.
        """
        with self.timed("write"), translated():
            async with in_time(self._timeout), self._turn, self._writing.begin() as connection:
                if not self.sqlite:
                    await connection.execute(SERVER_BOUNDS, {"ms": str(int(self._timeout * 1000))})
                yield connection

    @asynccontextmanager
    async def change(self, actor: str) -> AsyncIterator["Change"]:
        """A transaction that publishers will hear of and that the audit trail keeps.

        The row of CHANGES is taken first: on all hosts changes follow each other in the order of their numbers, and
        whoever has seen one has seen all below it.
        """
        async with self.write() as connection:
            raised = sa.update(CHANGES).values(number=CHANGES.c.number + 1).returning(CHANGES.c.number)
            number = (await connection.execute(raised)).scalar_one()
            yield Change(connection, number, actor, self.clock.wall())

    @contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """The scope of an operation that is told of, its failure too."""
        began = self.clock.monotonic()
        try:
            yield
        except DatabaseUnavailableError:
            self._timings.failed(operation)
            raise
        finally:
            self._timings.took(operation, self.clock.monotonic() - began)


@asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Cancel the body after that long, and what it does about it after GRACE_SECS more; raises TimeoutError."""
    async with asyncio.timeout(seconds + GRACE_SECS), asyncio.timeout(seconds):
        yield


class Change:
    """One change in the making.

    Attributes:
        connection: its transaction.
        number: what `changes.number()` says from its commit on.
        at: when, in seconds since 1970.
    """

    def __init__(self, connection: AsyncConnection, number: int, actor: str, at: float) -> None:
        self.connection = connection
        self.number = number
        self.at = at
        self._actor = actor

    async def record(
        self, action: str, target: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> None:
        """Write the row of the audit trail."""
        values = {"at": self.at, "actor": self._actor, "action": action, "target": target}
        await self.connection.execute(sa.insert(AUDIT).values(**values, before=before, after=after))

    async def bury(self, kind: str, name: str) -> None:
        """Leave word for publishers that it is gone."""
        values = {"kind": kind, "name": name, "changed": self.number}
        await self.unearth(kind, name)
        await self.connection.execute(sa.insert(TOMBSTONES).values(**values))

    async def unearth(self, kind: str, name: str) -> None:
        """It is there again, or for the first time."""
        which = sa.and_(TOMBSTONES.c.kind == kind, TOMBSTONES.c.name == name)
        await self.connection.execute(sa.delete(TOMBSTONES).where(which))
