"""What do operators see of the running gateway? The shared state of its workers, as the control process reads it."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from gateway.admin.live import Fixed, Load, Window, fixed_by_settings
from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.roster import Roster
from gateway.backends.view import BackendStatus, BoardView
from gateway.cache import kept
from gateway.cache.host import CacheUnavailableError, SharedHost
from gateway.core.clock import Clock
from gateway.core.errors import UnavailableError
from gateway.core.principal import AccountLimits
from gateway.database.host_name import find_or_make
from gateway.fleet.drains import Drains
from gateway.fleet.merge import static_roster
from gateway.limits.allowances import organization_limits
from gateway.limits.calendar import Calendar, Period
from gateway.limits.catalogue import ROWS, Row
from gateway.limits.figures import Terms
from gateway.observability.families.cached import CACHE_BYTES_DROPPED, CACHE_EVICTIONS
from gateway.observability.metrics import Metrics
from gateway.store.accounts import Standing
from gateway.store.protocol import LimiterStore

if TYPE_CHECKING:
    from gateway.settings import Settings

MINUTE_SECS = 60.0


class Oversight:
    """The `gateway.admin.live.Live` of one host.

    Args:
        settings: what the workers were started with.
        store: open; the limits' and the accounts'.
        board: the descriptor of the page on which all say what they know of backends; None: nobody says anything.
        calendar: days and months of quotas.
        metrics: what is counted of the cache.
        clock: durations; times of day are those of the accounts.

    Attributes:
        static: the fleet that the settings describe.
        drains: see `Live`.
    """

    def __init__(
        self,
        settings: "Settings",
        store: LimiterStore,
        board: int | None,
        calendar: Calendar,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._calendar = calendar
        self._metrics = metrics
        self.static = static_roster(settings)
        self.drains = drains_of(settings)
        self._board = Board([backend for _, backend in self.static.backends()], board)
        breaker = Breaker(self._board, settings, clock)
        self._fleet = BoardView(self._board, breaker, self.static, clock, settings.backend_probe_interval_secs)

    def follow(self, roster: Roster) -> None:
        """This is the fleet from now on."""
        self._board.follow(roster.placed())
        self._fleet.follow(roster)

    def fixed(self) -> Sequence[Fixed]:
        """See `Live`."""
        return fixed_by_settings(self.static)

    def defaults(self) -> AccountLimits:
        """See `Live`."""
        return organization_limits(self._settings)

    def backends(self) -> Sequence[BackendStatus]:
        """See `Live`."""
        return self._fleet.statuses()

    async def loads(self) -> Sequence[Load]:
        """See `Live`; the busiest ten."""
        return [Load(one.key, one.in_flight, one.queued) for one in self._store.counts().busiest]

    async def standing(self, account: str, limits: AccountLimits) -> Sequence[Window]:
        """See `Live`."""
        wall = self._store.accounts.wall()
        period = self._calendar.at(wall)
        standing = await self._store.accounts.standing(account, period.windows)
        return [
            Window(field, limit, *_used(ROWS[field], limit, standing, period, wall))
            for field, limit in asdict(limits).items()
            if limit
        ]

    async def flush_cache(self) -> int:
        """See `Live`."""
        if not self._settings.cache_ttl_secs:
            return 0
        host = SharedHost(self._settings.limiter_path, self._settings.cache_max_bytes)
        try:
            host.open(_nothing)
            try:
                dropped = host.decide(kept.clear)
            finally:
                host.close()
        except CacheUnavailableError as error:
            raise UnavailableError(f"The cache cannot be written now: {error}") from error
        self._metrics.count(CACHE_BYTES_DROPPED, amount=dropped.dropped)
        self._metrics.count(CACHE_EVICTIONS, "room", amount=dropped.evicted)
        return dropped.evicted

    def today(self) -> date:
        """See `Live`."""
        return self.date_of(self._calendar.at(self._store.accounts.wall()).windows.day)

    def ordinal(self, day: date) -> int:
        """See `Live`."""
        return day.toordinal()

    def date_of(self, ordinal: int) -> date:
        """See `Live`."""
        return date.fromordinal(ordinal)

    def begins(self, day: date) -> float:
        """See `Live`."""
        return self._calendar.begins(day)


def drains_of(settings: "Settings") -> Drains:
    """What the database's list of drained servers means on this host; SQLite is one host's."""
    several = settings.database_url.get_secret_value().startswith("postgres")
    return Drains(settings.backends_shared, find_or_make(settings.data_path) if several else "")


def terms_of(settings: "Settings", own: Callable[[], Mapping[str, AccountLimits] | None]) -> Terms:
    """What figures say of organizations goes by; `own` as there."""
    return Terms(
        settings.metrics_organizations,
        settings.max_inflight_per_ip,
        settings.max_queued_per_ip,
        organization_limits(settings),
        own,
    )


def _nothing(_: int) -> None:
    """Nobody waits here for an answer."""


def _used(row: Row, limit: int, standing: Standing, period: Period, wall: float) -> tuple[int, float]:
    """How much of a limit is used, and when it is whole again, in seconds since 1970."""
    if row.window == "minute":
        full_after: float = getattr(standing, f"{row.unit}_full_after")
        return math.ceil(limit * full_after / MINUTE_SECS), wall + full_after
    used: int = getattr(standing, f"{row.window}_{row.unit}")
    return used, period.day_ends if row.window == "day" else period.month_ends
