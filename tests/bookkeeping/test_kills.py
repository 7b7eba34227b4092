"""A control process that is killed at the worst moment, or has a twin, books each request once."""

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from gateway.bookkeeping.books import Bookkeeper
from gateway.bookkeeping.spool import Spool
from gateway.core.clock import SystemClock
from gateway.core.principal import UNLIMITED
from gateway.core.usage_record import UsageRecord, encode_usage
from gateway.database.database import Database
from gateway.database.errors import DatabaseUnavailableError
from gateway.database.settings import DatabaseSettings
from gateway.observability.metrics import Metrics
from gateway.store.accounts import Claim, Will
from gateway.store.choices import StoreKind
from gateway.store.factory import open_store
from gateway.store.protocol import LimiterStore
from gateway.store.settings import StoreSettings
from tests.bookkeeping.conftest import ORGANIZATION, TODAY, WINDOWS, calendar
from tests.support import ledger

pytestmark = pytest.mark.anyio

REQUESTS = 200

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.bookkeeping.test_kills import House

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with House(Path(sys.argv[1])) as house:
        if sys.argv[2] != "booked":
            await house.lose_answers(1)
        if sys.argv[2] == "replayed":
            await house.keeper.collect()
            house.spool.drop = killed
            await house.keeper.replay()
        house.store.accounts.forget = killed
        await house.keeper.collect()

asyncio.run(main())
"""


class House:
    """A control process's bookkeeping over a host's store, and a worker that leaves records in the journal."""

    def __init__(self, folder: Path) -> None:
        settings = StoreSettings(
            limiter_store=StoreKind.LMDB,
            limiter_path=folder / "limiter",
            max_tracked_organizations=100,
            journal_bytes=2**20,
        )
        self.folder = folder
        self.store: LimiterStore = open_store(settings, SystemClock())
        self.database = Database(DatabaseSettings(data_path=folder / "data"))
        self.spool = Spool(folder / "data")
        self.keeper = Bookkeeper(
            self.store.accounts, self.database.usage, self.spool, calendar, Metrics(), SystemClock()
        )

    async def __aenter__(self) -> Self:
        await self.store.open()
        await self.database.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.spool.close()
        await self.database.close()
        await self.store.close()

    async def use(self, count: int) -> None:
        """So many requests run and are settled."""
        for number in range(count):
            record = encode_usage(UsageRecord(f"r{number}", 1e9, ORGANIZATION, "key1", "chat", prompt_tokens=1))
            reservation = await self.store.accounts.reserve(
                [Claim(ORGANIZATION, UNLIMITED)], tokens=1, windows=WINDOWS, will=Will(0, record)
            )
            self.store.accounts.settle(reservation, requests=1, tokens=1, record=record)
        await self.store.accounts.standing(ORGANIZATION, WINDOWS)

    async def lose_answers(self, count: int) -> None:
        """The database's next commits come through, and their answers do not."""
        write = self.database.usage.write
        left = [None] * count

        async def lossy(*args: object) -> object:
            booked = await write(*args)  # type: ignore[arg-type]  # as the caller has them
            if left:
                left.pop()
                raise DatabaseUnavailableError("the answer is lost")
            return booked

        self.database.usage.write = lossy  # type: ignore[method-assign,assignment]  # as said

    async def finish(self) -> None:
        """Book all that is left, when nobody else has the file."""
        self.spool.open()
        while await self.keeper.replay():
            pass
        await self.keeper.drain()
        while await self.keeper.replay():
            pass
        assert self.spool.empty
        assert self.store.accounts.journal_counts().records == 0

    async def is_complete(self) -> bool:
        """Each request is in the ledger once, and in its sums."""
        (line,) = await self.database.usage.report(by="organization", first=TODAY, last=TODAY)
        booked = sorted(record.request_id for record in ledger.booked(self.folder / "data" / "gateway.db"))
        return (line.requests, booked) == (REQUESTS, sorted(f"r{number}" for number in range(REQUESTS)))


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short name: sockets have one below it."""
    with tempfile.TemporaryDirectory(prefix="gw-", dir="/dev/shm") as made:
        yield Path(made)


@pytest.mark.parametrize("moment", ["booked", "spooled", "replayed"])
async def test_a_control_process_that_is_killed_before_it_forgets_has_booked_nothing_twice(
    folder: Path, moment: str
) -> None:
    """Behind the commit; behind the write to the disk, after a commit whose answer was lost; behind the replay."""
    async with House(folder) as house:
        await house.use(REQUESTS)
        killed = subprocess.run(  # noqa: S603, ASYNC221 -- this interpreter, and nothing else runs on this loop
            [sys.executable, "-c", KILLED, str(folder), moment], check=False
        )
        assert killed.returncode == -signal.SIGKILL
        if moment != "replayed":
            assert house.store.accounts.journal_counts().records == REQUESTS
        await house.finish()
        assert await house.is_complete()


async def test_two_control_processes_that_take_the_same_sheets_book_them_once(folder: Path) -> None:
    async with House(folder) as house, Database(DatabaseSettings(data_path=folder / "data")) as other:
        await house.use(REQUESTS)
        accounts = house.store.accounts
        sheets, journal, epoch = await accounts.journal(REQUESTS), accounts.host(), accounts.epoch()
        booked = await asyncio.gather(
            house.database.usage.write(journal, sheets, epoch, calendar),
            other.usage.write(journal, sheets[::-1], epoch, calendar),
        )
        assert sum(one.records for one in booked) == REQUESTS
        await house.finish()
        assert await house.is_complete()
