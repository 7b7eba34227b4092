"""Who is asked next? What is left of a group's backends for one request, where that takes more than a look."""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct, field

from gateway.backends.availability import Availability
from gateway.core.context import RequestContext
from gateway.core.fleet import Backend, BackendGroup
from gateway.observability.families.backends import RETRIES
from gateway.observability.metrics import Metrics
from gateway.proxy.attempts import Attempt, Attempts
from gateway.proxy.retry import RetryBudget
from gateway.proxy.seats import HeldSeat, Seats
from gateway.proxy.unavailable import NoFreeSeatError, SeatsTakenError


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
        gone: who was asked. So a search ends.
        patient: it waits for a seat where none is free, and asks who is suspected to hang where there is nobody else,
            though another group might have one, or answer.
        moved: why the backend asked last did not take it; None at first.
        reasons: all that `moved` has been.
    """

    group: BackendGroup
    left: list[Backend]
    trial: Backend | None = None
    gone: list[Backend] = field(default_factory=list)
    patient: bool = True
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
            NoFreeSeatError: the same, at once, for one that is not patient and has asked nobody yet.
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
        """An attempt at one that has a seat for it. As long as it waits, it is looked whom it may ask by then.

        A backend that fails fast frees its seats fast: taken unseen, they would draw everybody who waits to it, though
        its circuit opened meanwhile.
        """

        def candidates() -> list[str]:
            return [backend.name for backend in self._attempts.willing(self._left(search))]

        if not candidates():
            return None
        try:
            if search.patient or search.moved is not None:
                seat = await seats.take(ctx, search.group, candidates)
            else:
                seat = await seats.take_free(ctx, search.group, candidates)
        except SeatsTakenError:
            if not candidates():
                return None
            raise
        backend = next(backend for backend in search.group.backends if backend.name == seat.backend)
        search.gone.append(backend)
        search.left = [other for other in search.left if other is not backend]
        return self._begin(ctx, search, backend, seat)

    def _left(self, search: Search) -> list[Backend]:
        """Who may be asked by now and was not, in the order known; behind them those that came back meanwhile.

        Where somebody was asked and nobody is left, those that were never probed.
        """
        choice = self._choose(search.group)
        if search.patient and choice.at_last is not None:
            choice = choice.at_last
        usable = choice.backends
        back = [backend for backend in usable if backend not in search.left and backend not in search.gone]
        left = [*(backend for backend in search.left if backend in usable), *back]
        if not left and search.moved is not None:
            left = [backend for backend in choice.reserve if backend not in search.gone]
        return self._reachable(search, left)

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
                seat = await self._seats.take_free(ctx, search.group, lambda: [backend.name])
            except NoFreeSeatError:
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
            self._metrics.count(RETRIES, ctx.group, search.moved.value)
        attempt = self._attempts.begin(backend, ctx)
        attempt.seat = seat
        return attempt
