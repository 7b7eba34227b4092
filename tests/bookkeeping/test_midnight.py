"""What begins before midnight counts in the day that ends then: in counters, the ledger, and in restored counters."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.bookkeeping.books import Bookkeeper
from gateway.bookkeeping.spool import Spool
from gateway.core.context import RequestContext
from gateway.core.usage import Usage
from gateway.database.database import Database
from gateway.limits.allowances import Allowances
from gateway.limits.calendar import Calendar
from gateway.limits.quotas import Quotas
from gateway.limits.settings import LimitsSettings
from gateway.observability.metrics import Metrics
from gateway.payload.peek import Peek
from gateway.proxy.planner import Plan
from gateway.store.accounts import Windows
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, context

pytestmark = pytest.mark.anyio

WHO = "org:acme"
BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2026, 11, 1, tzinfo=BERLIN)
"""A month's beginning there, while UTC still has October."""
TODAY = Windows(MIDNIGHT.toordinal(), 2026 * 12 + 11)


class House:
    """A gateway's counters and its books, whose clock a test turns."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self.clock = HandTime()
        self.ledger = database.usage
        self._spool = spool
        self.begin()

    def begin(self) -> None:
        """With counters that know nothing; the ledger stays."""
        settings = LimitsSettings(quota_timezone="Europe/Berlin")
        self.accounts = MemoryStore(StoreSettings(), self.clock).accounts
        self.quotas = Quotas(settings, self.accounts, Allowances(settings, None), self.clock, journaled=True)
        calendar = Calendar(BERLIN)
        self.keeper = Bookkeeper(
            self.accounts, self.ledger, self._spool, lambda at: calendar.at(at).windows, Metrics(), self.clock
        )

    def turn_to(self, secs: float) -> None:
        """So many seconds after midnight."""
        self.clock.wall_now = MIDNIGHT.timestamp() + secs


def request() -> RequestContext:
    ctx = context(CHAT, organization=WHO)
    ctx.plan = Plan(None, b"x" * 400, Peek(max_tokens=50))  # type: ignore[arg-type]  # no room here asks for the route
    ctx.group, ctx.usage = "chat", Usage(20, 5)
    return ctx


@pytest.fixture
def house(database: Database, tmp_path: Path) -> Iterator[House]:
    spool = Spool(tmp_path / "data")
    spool.open()
    yield House(database, spool)
    spool.close()


@pytest.mark.parametrize(("begins", "ends"), [(-1.0, 1.0), (-1.0, -0.5), (1.0, 2.0)])
async def test_counters_and_ledger_have_a_request_in_one_day_and_a_restore_adds_it_there(
    house: House, begins: float, ends: float
) -> None:
    house.turn_to(begins)
    ctx = request()
    reservation = await house.quotas.reserve(ctx)
    house.turn_to(ends)
    house.quotas.settle(ctx, reservation, None)
    await house.keeper.collect()
    [line] = await house.ledger.report(by="day", first=0, last=TODAY.day)
    assert (line.heading, line.requests) == (str(TODAY.day - (begins < 0)), 1)
    before = await house.accounts.standing(WHO, TODAY)
    house.begin()
    house.turn_to(max(ends, 2.0))
    assert await house.keeper.restore()
    assert await house.accounts.standing(WHO, TODAY) == before
    assert before.day_tokens == before.month_tokens == (25 if begins > 0 else 0)
