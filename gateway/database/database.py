"""What is the one way to the database? Its repositories, and when it is open."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gateway.core.clock import Clock, SystemClock
from gateway.core.timings import Timings
from gateway.database.audit import Audit
from gateway.database.changes import Changes
from gateway.database.engine import make_async_engine
from gateway.database.errors import translated
from gateway.database.hosts import Hosts
from gateway.database.keys import Keys
from gateway.database.leftovers import keys_left_behind
from gateway.database.named import Backends, Named
from gateway.database.revisions import PATIENCE_SECS, ensure
from gateway.database.rows import Backend, Model, Organization
from gateway.database.tables import BACKENDS, MODELS, ORGANIZATIONS
from gateway.database.transactions import Transactions
from gateway.database.usage import Ledger
from gateway.database.witness import witness_of

if TYPE_CHECKING:
    from gateway.database.settings import DatabaseSettings


class Database:
    """The durable state of all gateways that share it; a scope, for one event loop.

    `timings` hears of what it is asked.

    Attributes:
        keys: API keys.
        organizations: those with limits or choices of their own.
        models: those that the admin API made.
        backends: likewise, and who is drained.
        usage: the ledger.
        audit: who changed what.
        changes: the number of the last change.
        hosts: the gateways that use it.
    """

    def __init__(
        self, settings: "DatabaseSettings", clock: Clock | None = None, timings: Timings | None = None
    ) -> None:
        self._settings = settings
        self._engine = make_async_engine(settings)
        transactions = Transactions(self._engine, settings.database_timeout_secs, clock or SystemClock(), timings)
        self._transactions = transactions
        self.keys = Keys(transactions)
        self.organizations = Named(transactions, "organization", ORGANIZATIONS, Organization)
        self.models = Named(transactions, "model", MODELS, Model)
        self.backends = Backends(transactions, "backend", BACKENDS, Backend)
        self.usage = Ledger(transactions, settings)
        self.audit = Audit(transactions)
        self._witness = witness_of(self._engine.url)
        self.changes = Changes(transactions, self._witness)
        self.hosts = Hosts(transactions)

    async def open(self) -> None:
        """See that the schema is this version's, or make it so; may be tried again after a failure.

        Raises:
            DatabaseUnavailableError: there is no database now.
            SchemaError: its schema is not this version's, and DATABASE_AUTO_UPGRADE is off or cannot help.
        """
        with (
            self._transactions.timed("open"),
            translated(),
        ):  # a thread that a server keeps waiting longer than migrations may is left to itself
            async with asyncio.timeout(PATIENCE_SECS + self._settings.database_timeout_secs):
                await asyncio.to_thread(ensure, self._settings)

    async def keys_left_behind(self) -> tuple[Path, int] | None:
        """The file in DATA_PATH and how many API keys it has, where the database in use is another and has none.

        Raises:
            DatabaseUnavailableError: there is no database now.
        """
        return await keys_left_behind(self._settings, self._transactions)

    async def close(self) -> None:
        """Close all connections."""
        if self._witness:
            self._witness.close()
        with translated():
            await self._engine.dispose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
