"""What do figures say of organizations? Who has the most requests and who is nearest to a quota, over all workers."""

import heapq
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from operator import attrgetter
from typing import Final, NamedTuple

from msgspec.structs import asdict

from gateway.core.clock import Clock
from gateway.core.principal import KEY_ACCOUNT, AccountLimits
from gateway.limits.calendar import Calendar
from gateway.limits.catalogue import ROWS
from gateway.observability.families.family import Family
from gateway.observability.families.limits import (
    ORGANIZATION_IN_FLIGHT,
    ORGANIZATION_LIMIT,
    ORGANIZATION_QUEUED,
    ORGANIZATION_QUOTA_USED,
    SLOTS_HELD,
)
from gateway.observability.metrics import Metrics
from gateway.store.accounts import Standing, Windows
from gateway.store.errors import StoreUnavailableError
from gateway.store.protocol import KeyCounts, LimiterStore
from gateway.store.records import record_name

log = logging.getLogger(__name__)

LOOK_SECS: Final = 1.0
"""Between two looks at who runs and waits: 2 us for each organization that does, in a transaction."""
LOOKS_PER_QUOTA: Final = 15
"""So many looks for one at all accounts, MAX_TRACKED_ORGANIZATIONS at the most: 7 us each, of this process' time."""
TOGETHER: Final = 100
"""Accounts that are read in one transaction, for which workers may have to wait: 0.2 ms."""
PAUSE_SECS: Final = 0.002
"""Between two such transactions: 100,000 accounts are looked at in four seconds, beside which all else goes on."""
OTHER: Final = "other"

QUOTAS: Final = [
    (field, attrgetter(field), attrgetter(f"{row.window}_{row.unit}"))
    for field, row in ROWS.items()
    if row.window != "minute"
]
"""The limits that count by the calendar: what reads each, and what reads how much of it was used."""
Shown = tuple[Family, tuple[str, ...], float]


class Terms(NamedTuple):
    """What organizations may have, and how many of them are shown.

    Attributes:
        most: organizations that are shown by name; 0: none.
        in_flight: slots of each.
        queued: places in its queue.
        default: what those may use that have no limits of their own.
        own: the limits of the others, by name; None: nobody knows yet.
    """

    most: int
    in_flight: int
    queued: int
    default: AccountLimits
    own: Callable[[], Mapping[str, AccountLimits] | None]


class OrganizationFigures:
    """Looks at the shared state now and then, in a process that answers no requests; its life is `run`.

    What it shows is bounded however many organizations there are: the busiest, and those that are nearest to a quota.
    """

    def __init__(self, store: LimiterStore, terms: Terms, calendar: Calendar, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._terms = terms
        self._calendar = calendar
        self._metrics = metrics
        self._clock = clock
        self._quotas: list[Shown] = []
        self._own: Mapping[str, AccountLimits] | None = None
        """As of the last look at quotas, by the names that the store has."""
        self._well = True

    async def run(self) -> None:
        """Show until cancelled, and nothing more from then on."""
        turns = cycle(range(LOOKS_PER_QUOTA))
        try:
            while True:
                await self.look(quotas=next(turns) == 0 or self._own is None)
                await self._clock.sleep(LOOK_SECS)
        finally:
            self._metrics.show(())

    async def look(self, *, quotas: bool) -> None:
        """Show what is so now; what cannot be read is not shown."""
        try:
            lines = await self._store.lines()
            if quotas and self._terms.most:
                self._quotas = await self._nearest()
        except StoreUnavailableError as error:
            if self._well:
                log.warning("organizations_not_shown", extra={"why": str(error)})
            self._well = False
            self._metrics.show(())
            return
        self._well = True
        organizations = [line for line in lines if not line.key.startswith(KEY_ACCOUNT)]
        held = sum(line.in_flight for line in organizations)
        self._metrics.show([(SLOTS_HELD, (), held), *self._busiest(organizations), *self._quotas])

    def _busiest(self, lines: Sequence[KeyCounts]) -> Iterator[Shown]:
        """Those with the most requests, and the rest together."""
        terms = self._terms
        if not terms.most:
            return
        shown = heapq.nlargest(terms.most, lines, key=lambda line: line.in_flight + line.queued)
        in_flight, queued = sum(line.in_flight for line in lines), sum(line.queued for line in lines)
        for line in shown:
            yield ORGANIZATION_IN_FLIGHT, (line.key,), line.in_flight
            yield ORGANIZATION_QUEUED, (line.key,), line.queued
            for limit, allowed in self._limits(line.key):
                yield ORGANIZATION_LIMIT, (line.key, limit), allowed
        yield ORGANIZATION_IN_FLIGHT, (OTHER,), in_flight - sum(line.in_flight for line in shown)
        yield ORGANIZATION_QUEUED, (OTHER,), queued - sum(line.queued for line in shown)

    def _limits(self, organization: str) -> Iterator[tuple[str, int]]:
        yield "in_flight", self._terms.in_flight
        yield "queued", self._terms.queued
        if self._own is not None:
            for field, limit in asdict(self._own.get(organization, self._terms.default)).items():
                if limit:
                    yield field, limit

    async def _nearest(self) -> list[Shown]:
        """The shares of quotas of those that have used most of one.

        Accounts count what workers hold for their next requests as used; those that are shown are asked without it.
        """
        known = self._terms.own()
        if known is None:
            self._own = None
            return []
        self._own = own = {spelled(name): limits for name, limits in known.items()}
        windows = self._calendar.at(self._store.accounts.wall()).windows
        found: list[Shown] = []
        for _, name in await self._ranked(own, windows):
            standing = await self._store.accounts.standing(name, windows)
            for quota, used in shares(standing, own.get(name, self._terms.default)):
                found.append((ORGANIZATION_QUOTA_USED, (name, quota), used))
        return found

    async def _ranked(self, own: Mapping[str, AccountLimits], windows: Windows) -> list[tuple[float, str]]:
        """Those of all organizations that have used most of a quota; others have their turn in between."""
        top: list[tuple[float, str]] = []
        page = await self._store.accounts.page("", TOGETHER, windows)
        while page:
            for name, standing in page:
                if name.startswith(KEY_ACCOUNT):
                    continue
                share = max([used for _, used in shares(standing, own.get(name, self._terms.default))], default=0.0)
                if share > 0.0:
                    heapq.heappush(top, (share, name))
                if len(top) > self._terms.most:
                    heapq.heappop(top)
            if len(page) < TOGETHER:
                break
            await self._clock.sleep(PAUSE_SECS)
            page = await self._store.accounts.page(page[-1][0], TOGETHER, windows)
        return top


def spelled(organization: str) -> str:
    """An organization's name as the store has it, which shortens long ones."""
    return record_name(organization).decode("utf-8", "surrogateescape")


def shares(standing: Standing, limits: AccountLimits) -> Iterator[tuple[str, float]]:
    """How much of each quota of the calendar is used; more than 1 where answers took more than was set aside."""
    for field, limit_of, used_of in QUOTAS:
        limit = limit_of(limits)
        if limit:
            yield field, used_of(standing) / limit
