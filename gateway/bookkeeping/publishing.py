"""What must workers know of the database? Keys and limits: asked for several times a second, published on a change."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from gateway.catalog.errors import CatalogUnavailableError
from gateway.catalog.publisher import Publisher
from gateway.catalog.records import KeyEntry
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError
from gateway.core.principal import AccountLimits
from gateway.database.database import Database
from gateway.database.rows import ApiKey
from gateway.observability.families.books import DATABASE_UP, KEYS_PUBLISHED
from gateway.observability.gauge import Gauge
from gateway.observability.metrics import Metrics

logger = logging.getLogger(__name__)

POLL_SECS = 0.3
"""Between two questions for the number of the last change: a revocation on another host holds here so much later."""
SWEEP_SECS = 60.0
"""Between two looks for keys that have expired. Workers judge by their own clocks: it keeps the catalog small."""
AGAIN_SECS = 2.0
"""After a fault of ours."""

Registry = Callable[[], Awaitable[bytes]]
"""Reads the models and backends, as the catalog's blob."""


class Publishing:
    """Keeps the catalog as the database is; its life is `run`.

    Args:
        database: which is opened here, as often as it takes.
        publisher: of the catalog; another process may have it open still.
        clock: all times.
        metrics: where it is shown whether the database answers.
        registry: reads the models; asked at each change.
    """

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        clock: Clock,
        metrics: Metrics,
        registry: Registry,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._registry = registry
        self.limits: Mapping[str, AccountLimits] | None = None
        """Of the organizations that have their own, as they were published last; None: not yet."""
        self._asked = asyncio.Event()
        self._opened = False
        self._seen: int | None = None
        """The change up to which the catalog is complete; None: it has to be written anew."""
        self._expiries: dict[bytes, float] = {}
        self._sweep_at = 0.0
        self._up = Gauge(metrics, DATABASE_UP)
        self._away: str | None = ""
        """Why the database does not answer, as it was logged; None while it does."""

    def wake(self) -> None:
        """Look at once: somebody in this process has changed something."""
        self._asked.set()

    async def run(self) -> None:
        """Publish until cancelled; what goes wrong is logged, and tried again."""
        try:
            while True:
                secs = POLL_SECS
                try:
                    await self.turn()
                except Exception:
                    logger.exception("publishing_failed", extra={"again_in_secs": AGAIN_SECS})
                    self._seen, secs = None, AGAIN_SECS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(secs):
                        await self._asked.wait()
                self._asked.clear()
        finally:
            self._up.set(0)

    async def turn(self) -> None:
        """Ask for changes, publish them, and say that the database answered."""
        try:
            if not self._publisher.open():
                return  # another process does it still
            await self._look()
            self._publisher.beat()
        except CatalogUnavailableError as error:
            self._seen = None
            logger.error("catalog_not_published", extra={"why": str(error)})  # noqa: TRY400 -- the line is enough
        except GatewayError as error:
            self._missed(str(error))
        else:
            self._answered()

    async def _look(self) -> None:
        if not self._opened:
            await self._database.open()
            self._opened = True
        number = await self._database.changes.number()
        if self._seen is None or number < self._seen:
            await self._publish_all()
        elif number != self._seen:
            await self._publish_since(self._seen)
        else:
            self._sweep()
        self._seen = number

    async def _publish_all(self) -> None:
        """Write the catalog anew; a catalog's publisher begins with that, too."""
        self._expiries.clear()
        keys: list[KeyEntry] = []
        organizations: dict[str, AccountLimits] = {}
        opted_out: list[str] = []
        async for page in self._database.keys.changed_since(0):
            keys += self._entries(page.keys)
        async for found in self._database.organizations.changed_since(0):
            organizations.update({row.name: row.limits for row in found.rows if row.limits is not None})
            opted_out += [row.name for row in found.rows if row.audit_opt_out]
        models = await self._registry()
        # In a thread: 100,000 keys are half a second, in which the admin API has to answer.
        everything = partial(self._publisher.replace_all, keys=keys, organizations=organizations, models=models)
        await asyncio.to_thread(everything, opted_out=opted_out)
        self.limits = organizations
        self._metrics.count(KEYS_PUBLISHED)
        logger.info("catalog_written", extra={"keys": len(keys), "organizations": len(organizations)})

    async def _publish_since(self, number: int) -> None:
        """Publish what has changed after that change; what changes meanwhile comes again the next time."""
        async for page in self._database.keys.changed_since(number):
            entries = self._entries(page.keys)
            current = {entry.digest for entry in entries}
            past = [key.digest for key in page.keys if key.digest not in current]
            self._publisher.publish(keys=entries, removed=[*page.removed, *past])
        limits: dict[str, AccountLimits | None] = {}
        opted_out: dict[str, bool] = {}
        async for found in self._database.organizations.changed_since(number):
            limits.update({row.name: row.limits for row in found.rows})
            limits.update(dict.fromkeys(found.removed))
            opted_out.update({row.name: row.audit_opt_out for row in found.rows})
            opted_out.update(dict.fromkeys(found.removed, False))
        self._publisher.publish(organizations=limits, models=await self._registry(), opted_out=opted_out)
        every = {**(self.limits or {}), **limits}
        self.limits = {name: own for name, own in every.items() if own is not None}
        self._metrics.count(KEYS_PUBLISHED)

    def _entries(self, keys: list[ApiKey]) -> list[KeyEntry]:
        """Those of the keys that have not expired."""
        now = self._clock.wall()
        found = []
        for key in keys:
            expires = key.properties.expires
            if expires is None or expires > now:
                found.append(KeyEntry(key.digest, key.principal(), expires=expires or 0.0))
            if expires is not None and expires > now:
                self._expiries[key.digest] = expires
            else:
                self._expiries.pop(key.digest, None)
        return found

    def _sweep(self) -> None:
        """Take expired keys out of the catalog."""
        now = self._clock.wall()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_SECS
        over = [digest for digest, expires in self._expiries.items() if expires <= now]
        if over:
            self._publisher.publish(removed=over)
            for digest in over:
                del self._expiries[digest]

    def _missed(self, why: str) -> None:
        """The database did not answer: it may be another one, or an older copy, when it does again."""
        self._seen = None
        self._up.set(0)
        self._publisher.miss()
        if why != self._away:
            self._away = why
            logger.warning("database_unavailable", extra={"why": why})

    def _answered(self) -> None:
        self._up.set(1)
        if self._away:
            logger.info("database_answers")
        self._away = None
