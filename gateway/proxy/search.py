"""Who is asked next? What is left of a group's backends for one request, where that takes more than a look."""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct, field

from gateway.backends.availability import Availability
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
        gone: who is not asked any more: it was, or its seat was of no use when it came. So a search ends.
        moved: why the backend asked last did not take it; None at first.
        reasons: all that `moved` has been.
    """

    group: BackendGroup
    left: list[Backend]
    trial: Backend | None = None
    gone: list[Backend] = field(default_factory=list)
    moved: Moved | None = None
    reasons: set[Moved] = field(default_factory=set)

    def move(self, reason: Moved) -> None:
        """The backend asked last did not take it."""
        self.moved = reason
        self.reasons.add(reason)


class Searcher:
    """Begins the attempts of searches.

    Args:
        attempts: knows who is suspected, who stands aside, and who may be tried.
        budgets: bound moves after stated refusals, one for each group by its name.
        availability: is asked once more after a wait.
        seats: hands out room at backends; None where it is not limited.
        metrics: counts moves to another replica.

    Attributes:
        budgets: as given.
        limited: whether there are seats.
    """

    def __init__(
        self,
        attempts: Attempts,
        budgets: Mapping[str, RetryBudget],
        availability: Availability,
        seats: Seats | None,
        metrics: Metrics,
    ) -> None:
        self.budgets = budgets
        self.limited = seats is not None
        self._attempts = attempts
        self._choose = availability.of
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
            budget = self.budgets[search.group.name]
            if not search.left or not budget.spend():
                return None
            await budget.pause()
        if search.trial is not None and ctx.endpoint.uses_engine:
            trial, search.trial = search.trial, None
            attempt = await self._try(ctx, search, trial)
            if attempt is not None:
                search.gone.append(trial)
                search.left = [backend for backend in search.left if backend is not trial]
                return attempt
        search.left = self._reachable(search, search.left)
        if self._seats is not None:
            return await self._seated(ctx, search, self._seats)
        return self._begin(ctx, search, search.left.pop(0), None) if search.left else None

    async def _seated(self, ctx: RequestContext, search: Search, seats: Seats) -> Attempt | None:
        """An attempt at one that had a seat for it, and may be asked still now that the seat is there.

        A backend that fails fast frees its seats fast: taken unseen, they would draw everybody who waits to it, though
        its circuit opened meanwhile. Who leaves such a seat waits on behind its organization's others.
        """
        while search.left:
            willing = self._attempts.willing(search.left)
            seat = await seats.take(ctx, search.group, [backend.name for backend in willing])
            backend = next(backend for backend in willing if backend.name == seat.backend)
            usable = self._choose(search.group).backends
            search.gone.append(backend)
            search.left.remove(backend)
            others = [other for other in search.left if other in usable]
            if backend in usable and backend in self._attempts.willing([backend, *others]):
                return self._begin(ctx, search, backend, seat)
            seat.decline()
            search.left = self._reachable(search, [other for other in usable if other not in search.gone])
        return None

    def _reachable(self, search: Search, backends: list[Backend]) -> list[Backend]:
        """The same, without those that are suspected where this request has not reached another one."""
        if search.moved is not Moved.UNREACHABLE:
            return backends
        return [backend for backend in backends if not self._attempts.suspected(backend)]

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
                seat.decline()
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
