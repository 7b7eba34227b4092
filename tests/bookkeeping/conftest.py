"""What do the bookkeeping's tests share? Databases, a store in memory, and records in its journal."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.bookkeeping.books import Bookkeeper
from gateway.bookkeeping.spool import Spool
from gateway.core.clock import SystemClock
from gateway.core.principal import UNLIMITED
from gateway.core.usage_record import UsageRecord
from gateway.database.database import Database
from gateway.database.settings import DatabaseSettings
from gateway.observability.families.books import USAGE_RECORDS
from gateway.observability.metrics import Figure, Metrics
from gateway.store.accounts import Accounts, Claim, Will, Windows
from gateway.store.choices import StoreKind
from gateway.store.factory import open_store
from gateway.store.settings import StoreSettings

TODAY, MONTH = 739_000, 24_300
WINDOWS = Windows(TODAY, MONTH)
ORGANIZATION = "org:acme"


class Books:
    """A journal, a ledger and who carries records from the one to the other."""

    def __init__(self, accounts: Accounts, database: Database, folder: Path) -> None:
        self.accounts = accounts
        self.database = database
        self.metrics = Metrics()
        self.spool = Spool(folder)
        self.keeper = Bookkeeper(accounts, database.usage, self.spool, calendar, self.metrics, SystemClock())
        self._made = 0

    async def use(self, count: int = 1, *, tokens: int = 1, content: bytes | None = None) -> None:
        """So many requests run and are settled."""
        for _ in range(count):
            self._made += 1
            record = UsageRecord(f"request-{self._made}", 1e9, ORGANIZATION, "key1", "chat", prompt_tokens=tokens)
            written = msgspec.msgpack.encode(record) if content is None else content
            reservation = await self.accounts.reserve(
                [Claim(ORGANIZATION, UNLIMITED)], tokens=tokens, windows=WINDOWS, will=Will(0, written)
            )
            self.accounts.settle(reservation, requests=1, tokens=tokens, record=written)

    async def waiting(self) -> int:
        """Records in the journal."""
        return sum(sheet.count() for sheet in await self.accounts.journal(10_000))

    async def booked(self) -> int:
        """Requests in the ledger."""
        lines = await self.database.usage.report(by="organization", first=TODAY, last=TODAY)
        return sum(line.requests for line in lines)

    def figure(self, fate: str) -> float:
        """Records of that fate."""
        figure = self.metrics.figure(USAGE_RECORDS, fate)
        assert isinstance(figure, Figure)
        return figure._values[figure._slot]


def calendar(_: float) -> tuple[int, int]:
    """It is always the same day."""
    return TODAY, MONTH


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(DatabaseSettings(data_path=tmp_path / "data")) as made:
        yield made


@pytest.fixture
def accounts() -> Accounts:
    return open_store(StoreSettings(limiter_store=StoreKind.MEMORY)).accounts


@pytest.fixture
def books(accounts: Accounts, database: Database, tmp_path: Path) -> Iterator[Books]:
    made = Books(accounts, database, tmp_path / "data")
    made.spool.open()
    yield made
    made.spool.close()
