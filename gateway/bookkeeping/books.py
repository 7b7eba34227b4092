"""How does usage reach the ledger? From the journal, in batches; by way of a file while the database is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from gateway.bookkeeping.spool import Batch, Spool
from gateway.core.clock import Clock
from gateway.core.usage_sheet import Sheet
from gateway.database.errors import ConflictError, DatabaseUnavailableError, UnfitValueError
from gateway.database.usage import Ledger
from gateway.observability.families.books import USAGE_JOURNAL, USAGE_LAG, USAGE_RECORDS, USAGE_SPOOL
from gateway.observability.gauge import Gauge
from gateway.observability.metrics import Metrics
from gateway.store.accounts import Accounts, Windows
from gateway.store.errors import StoreUnavailableError

logger = logging.getLogger(__name__)

COLLECT_SECS = 0.5
"""Between two looks into the journal, which is memory: so much is lost with the host's power, and `PATIENCE_SECS`."""
PATIENCE_SECS = 0.4
"""So long the database may take for a batch before it goes into the file; it may arrive all the same, and once."""
REPLAY_SECS = 1.0
"""Between two tries to empty the file."""
AGAIN_SECS = 2.0
"""After a fault of ours."""
PRUNE_SECS = 3600.0
BATCH = 2000
"""Records of one transaction, or a sheet more: a commit is spread over them, in a fraction of `PATIENCE_SECS`."""

Calendar = Callable[[float], tuple[int, int]]
"""The day and the month that a time in seconds since 1970 belongs to, as ordinals in QUOTA_TIMEZONE."""

Step = Callable[[], Awaitable[bool]]
"""Says whether it is to be taken again at once; `restore`, whether it is done."""


class Bookkeeper:
    """Takes sheets of records from the journal and books each of them once; its life is `run`.

    A batch is forgotten in the journal when it is in the database or on the disk, and whatever breaks off in between
    books it again, which the ledger passes over by the sheets' keys.

    Args:
        accounts: the journal, and the counters that are restored from the ledger.
        ledger: where it is booked.
        spool: where it waits.
        calendar: the operator's days and months.
        metrics: where it is shown what became of records.
        clock: durations; times of day are those of the accounts.
    """

    def __init__(
        self, accounts: Accounts, ledger: Ledger, spool: Spool, calendar: Calendar, metrics: Metrics, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._spool = spool
        self._calendar = calendar
        self._metrics = metrics
        self._clock = clock
        self._wall = accounts.wall
        self._lag = Gauge(metrics, USAGE_LAG)
        self._waiting = Gauge(metrics, USAGE_SPOOL)
        self._journal = Gauge(metrics, USAGE_JOURNAL)
        self._full = False
        self._late: set[asyncio.Task[None]] = set()
        for fate in ("written", "spooled", "lost"):
            metrics.figure(USAGE_RECORDS, fate)

    async def run(self) -> None:
        """Keep the books until cancelled; what goes wrong is logged, and tried again."""
        self._begin()
        try:
            async with asyncio.TaskGroup() as tasks:
                for step, secs in ((self.collect, COLLECT_SECS), (self.replay, REPLAY_SECS), (self.prune, PRUNE_SECS)):
                    tasks.create_task(self._repeat(step, secs))
                tasks.create_task(self._restore())
        finally:
            for gauge in (self._lag, self._waiting, self._journal):
                gauge.set(0)

    async def drain(self) -> None:
        """Take what is left in the journal, after the last worker has ended."""
        while await self.collect():
            pass

    async def collect(self) -> bool:
        """Take a batch from the journal; whether there may be another one at once.

        Raises:
            StoreUnavailableError: the journal cannot be read or written.
        """
        self._journal.set(self._accounts.journal_counts().records)
        sheets = await self._accounts.journal(BATCH)
        if not sheets:
            if self._spool.empty:
                self._lag.set(0)
            return False
        batch = Batch(self._accounts.host(), self._accounts.epoch(), self._wall(), sheets)
        booked = self._spool.empty and await self._book_in_time(batch)
        if not booked and not await self._put_aside(batch):
            return False
        await self._accounts.forget([sheet.key for sheet in sheets])
        return count_of(sheets) >= BATCH

    async def replay(self) -> bool:
        """Book the batch that has waited longest; whether there may be another one at once."""
        if not await self._waits():
            self._waiting.set(0)
            return False
        frame = await asyncio.to_thread(self._spool.first)
        self._waiting.set(self._spool.size)
        if frame is None:
            return False
        self._lag.set(max(0.0, self._wall() - frame.batch.at))
        try:
            await self._book(frame.batch)
        except DatabaseUnavailableError:
            return False
        await asyncio.to_thread(self._spool.drop, frame)
        self._waiting.set(self._spool.size)
        return True

    async def prune(self) -> bool:
        """Forget a few of the records whose time is over; whether there may be more."""
        today, _ = self._calendar(self._wall())
        try:
            return bool(await self._ledger.prune(today))
        except DatabaseUnavailableError:
            return False

    async def restore(self) -> bool:
        """Count what earlier lives of the counters have used of the running day and month; whether that was done."""
        if await self._waits():
            return False  # that is part of it, also what a gateway left that will not come again
        windows = Windows(*self._calendar(self._wall()))
        try:
            uses = await self._ledger.sums(*windows, except_epoch=self._accounts.epoch())
        except DatabaseUnavailableError:
            return False
        for use in uses:
            day, month = (use.day_requests, use.day_tokens), (use.month_requests, use.month_tokens)
            await self._accounts.restore(use.account, windows, day, month)
        if uses:
            logger.info("quotas_restored", extra={"accounts": len(uses)})
        return True

    def _begin(self) -> None:
        try:
            self._spool.open()
        except OSError as error:
            logger.error("usage_spool_unavailable", extra={"why": str(error)})  # noqa: TRY400 -- the line is enough
        if self._spool.cut:
            logger.warning("usage_spool_cut", extra={"bytes": self._spool.cut})

    async def _waits(self) -> bool:
        """Whether anything is in the file, or was in one that nobody has."""
        if self._spool.empty:
            with suppress(OSError):  # said once, at the beginning, where the folder cannot be had
                await asyncio.to_thread(self._spool.adopt)
        return not self._spool.empty

    async def _repeat(self, step: Step, secs: float) -> None:
        """Take a step again and again: at once while it says so, else after that time."""
        while True:
            await self._clock.sleep(0 if await self._tried(step) else secs)

    async def _restore(self) -> None:
        """Do so for each epoch that begins: a server of several hosts may lose all while we live."""
        restored = ""
        while True:
            epoch = self._accounts.epoch()
            if epoch != restored and await self._tried(self.restore):
                restored = epoch
            await self._clock.sleep(REPLAY_SECS)

    async def _tried(self, step: Step) -> bool:
        """What a step says; False where it fails, which ends nothing."""
        try:
            return await step()
        except StoreUnavailableError as error:
            logger.warning("journal_unavailable", extra={"why": str(error)})
        except Exception:
            logger.exception("bookkeeping_failed", extra={"step": step.__name__, "again_in_secs": AGAIN_SECS})
            await self._clock.sleep(AGAIN_SECS)
        return False

    async def _book_in_time(self, batch: Batch) -> bool:
        """Book a batch; False when the database is away or slow.

        One that is slow is left to itself: it may come through, and what is cut off in the midst of a transaction
        keeps SQLite's one lock until the connection is collected.
        """
        booking = asyncio.create_task(self._book(batch))
        done, _ = await asyncio.wait({booking}, timeout=PATIENCE_SECS)
        if not done:
            self._late.add(booking)
            booking.add_done_callback(self._gone)
            return False
        try:
            booking.result()
        except DatabaseUnavailableError:
            return False
        return True

    def _gone(self, booking: asyncio.Task[None]) -> None:
        self._late.discard(booking)
        if not booking.cancelled():
            booking.exception()  # seen: what was not booked is in the file

    async def _put_aside(self, batch: Batch) -> bool:
        """Write a batch into the file; False when the disk does not take it, and it stays where it is."""
        try:
            await asyncio.to_thread(self._spool.append, batch)
        except OSError as error:
            if not self._full:
                logger.error("usage_not_spooled", extra={"why": str(error)})  # noqa: TRY400 -- the line is enough
            self._full = True
            return False
        self._full = False
        self._metrics.count(USAGE_RECORDS, "spooled", amount=count_of(batch.sheets))
        self._waiting.set(self._spool.size)
        return True

    async def _book(self, batch: Batch) -> None:
        """Book a batch.

        Raises:
            DatabaseUnavailableError: not now.
        """
        try:
            await self._write(batch, batch.sheets)
        except (ConflictError, UnfitValueError):
            for sheet in batch.sheets:
                await self._book_alone(batch, sheet)

    async def _write(self, batch: Batch, sheets: Sequence[Sheet]) -> None:
        booked = await self._ledger.write(batch.journal, sheets, batch.epoch, self._calendar)
        self._metrics.count(USAGE_RECORDS, "written", amount=booked.records)
        for name, records in booked.lost.items():
            self._lost(name, records, "it cannot be read")
        if booked.first_at is not None:
            self._lag.set(max(0.0, self._wall() - booked.first_at))

    async def _book_alone(self, batch: Batch, sheet: Sheet) -> None:
        """Book one sheet of a batch of which the database does not take another one."""
        try:
            await self._write(batch, [sheet])
        except (ConflictError, UnfitValueError) as error:
            self._lost(sheet.key.hex(), sheet.count(), str(error))

    def _lost(self, sheet: str, records: int, why: str) -> None:
        self._metrics.count(USAGE_RECORDS, "lost", amount=records)
        logger.error("usage_lost", extra={"sheet": sheet, "records": records, "why": why})


def count_of(sheets: Sequence[Sheet]) -> int:
    """How many records stand on sheets."""
    return sum(sheet.count() for sheet in sheets)
