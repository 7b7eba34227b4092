"""Who is asked next? What is left of a group's backends for one request, where that takes more than a look."""

from enum import Enum

from msgspec import Struct, field

from gateway.core.context import RequestContext
from gateway.core.fleet import Backend, BackendGroup
from gateway.observability import metrics as m
from gateway.observability.metrics import Metrics
from gateway.proxy.attempts import Attempt, Attempts
from gateway.proxy.retry import RetryBudget
from gateway.proxy.seats import HeldSeat, Seats
from gateway.proxy.unavailable import SeatsTakenError


class Moved(Enum):
    """Why a backend did not take a request, which goes on to another; the words of a metric."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Search(Struct, eq=False):
    """One request's search for a backend.

    Attributes:
        group: whose backends.
        left: who was not asked yet, the next one first.
        trial: one that is half-open: it is asked before them, if this is the one request that may.
        moved: why the backend asked last did not take it; None at first.
        reasons: all that `moved` has been.
    """

    group: BackendGroup
    left: list[Backend]
    trial: Backend | None = None
    moved: Moved | None = None
    reasons: set[Moved] = field(default_factory=set)

    def move(self, reason: Moved) -> None:
        """The backend asked last did not take it."""
        self.moved = reason
        self.reasons.add(reason)


class Searcher:
    """Begins the attempts of searches.

    Args:
        attempts: knows who is suspected, and who may be tried.
        budget: bounds moves after stated refusals.
        seats: hands out room at backends; None where it is not limited.
        metrics: counts moves to another replica.

    Attributes:
        budget: as given.
        limited: whether there are seats.
    """

    def __init__(self, attempts: Attempts, budget: RetryBudget, seats: Seats | None, metrics: Metrics) -> None:
        self.budget = budget
        self.limited = seats is not None
        self._attempts = attempts
        self._seats = seats
        self._metrics = metrics

    async def next(self, ctx: RequestContext, search: Search) -> Attempt | None:
        """The next attempt, begun; None when nobody is left who may be asked.

        Who was not reached a moment ago by anybody is not asked after another one was not either: where a whole group
        is dead, it would double what each request costs.

        Raises:
            SeatsTakenError: there is no room at those that are left.
        """
        if search.moved is Moved.REFUSED:
            if not self.budget.spend():
                return None
            await self.budget.pause()
        if search.trial is not None and ctx.endpoint.uses_engine:
            trial, search.trial = search.trial, None
            attempt = await self._try(ctx, search, trial)
            if attempt is not None:
                search.left = [backend for backend in search.left if backend is not trial]
                return attempt
        left = search.left
        if search.moved is Moved.UNREACHABLE:
            left = search.left = [backend for backend in left if not self._attempts.suspected(backend)]
        if not left:
            return None
        backend, seat = left[0], None
        if self._seats is not None:
            seat = await self._seats.take(ctx, search.group, [backend.name for backend in left])
            backend = next(backend for backend in left if backend.name == seat.backend)
        left.remove(backend)
        return self._begin(ctx, search, backend, seat)

    async def _try(self, ctx: RequestContext, search: Search, backend: Backend) -> Attempt | None:
        """An attempt at a half-open backend, if this is the one request that may make it and need not wait for it."""
        seat = None
        if self._seats is not None:
            try:
                seat = await self._seats.take(ctx, search.group, [backend.name], wait=False)
            except SeatsTakenError:
                return None
        number = self._attempts.take_trial(backend)
        if not number:
            if seat is not None:
                seat.leave()
            return None
        attempt = self._begin(ctx, search, backend, seat)
        attempt.trial = number
        return attempt

    def _begin(self, ctx: RequestContext, search: Search, backend: Backend, seat: HeldSeat | None) -> Attempt:
        if search.moved is not None:
            self._metrics.count(m.RETRIES, ctx.group, search.moved.value)
        attempt = self._attempts.begin(backend, ctx)
        attempt.seat = seat
        return attempt
