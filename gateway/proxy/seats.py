"""May it run at a backend now? MAX_INFLIGHT_PER_BACKEND seats at each, waited for here instead of in vLLM's queue."""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from gateway.core.clock import Clock
from gateway.core.context import Phase, RequestContext
from gateway.core.fleet import BackendGroup
from gateway.proxy.counters import Counters
from gateway.proxy.unavailable import NoFreeSeatError, SeatsTakenError
from gateway.store.errors import NoPlaceError, NoSlotError
from gateway.store.protocol import Candidates, LimiterStore, Seat

LEAST_RETRY_SECS = 1.0
NEWEST = 0.1
"""How much of the average the newest stay makes up."""


class SeatLimits(Struct, frozen=True):
    """How many may sit and wait.

    Attributes:
        limit: requests that run at one backend, over all workers.
        max_queued: requests that wait, for each backend of their group, whether or not it may be asked: nobody loses
            a place by others being fewer.
        patience: seconds that a request may wait in all, for its slot and for its seat.
    """

    limit: int
    max_queued: int
    patience: float


class HeldSeat(Struct, eq=False):
    """A seat at the `backend` of that name, who has given it, and since when it is held."""

    seats: "Seats"
    seat: Seat
    backend: str
    store: LimiterStore
    since: float

    def leave(self) -> None:
        """Give the seat to whoever is next; never raises."""
        self.seats.leave(self)

    def decline(self) -> None:
        """The same for one that was of no use: how long it was held says nothing of how long others will be."""
        self.seats.decline(self)


class Seats:
    """Hands out the seats of backends.

    Args:
        counters: know who counts them, for all workers and for all hosts that share a server.
        limits: see there.
        clock: for how long a seat is held.
        waiting: how many requests of each group wait for one in this worker.
    """

    def __init__(self, counters: Counters, limits: SeatLimits, clock: Clock, waiting: Counter[str]) -> None:
        self._counters = counters
        self._limits = limits
        self._clock = clock
        self._waiting = waiting
        self._stays: dict[str, float] = {}
        """Seconds for which a seat of a group is held, on average."""

    async def take_free(self, ctx: RequestContext, group: BackendGroup, candidates: Candidates) -> HeldSeat:
        """A seat at one of the candidates that is free now.

        Raises:
            NoFreeSeatError: there is none, or others wait for it.
            StoreUnavailableError: it cannot be counted.
        """
        try:
            return await self._ask(ctx, group, candidates, max_queued=0, patience=0.0)
        except NoPlaceError:
            raise NoFreeSeatError from None

    async def take(self, ctx: RequestContext, group: BackendGroup, candidates: Candidates) -> HeldSeat:
        """A seat at one of the candidates, backends of the group, when its turn has come; a cancelled call holds none.

        Raises:
            SeatsTakenError: too many wait already, none became free in time, or no candidate is left.
            StoreUnavailableError: it cannot be counted.
        """
        limits = self._limits
        waited = ctx.queue_wait or 0.0
        since = self._clock.monotonic()
        ctx.phase = Phase.QUEUED
        self._waiting[group.name] += 1
        try:
            held = await self._ask(
                ctx,
                group,
                candidates,
                max_queued=limits.max_queued * len(group.backends),
                patience=max(0.0, limits.patience - waited),
            )
        except NoPlaceError:
            raise SeatsTakenError(
                "As many requests as may wait for the model servers are waiting already.",
                retry_after=self._retry_after(group, len(candidates())),
            ) from None
        except NoSlotError:
            ctx.queue_wait = waited + self._clock.monotonic() - since
            raise SeatsTakenError(
                f"The model servers are full, and no place came free within {limits.patience:g} s.",
                retry_after=self._retry_after(group, len(candidates())),
            ) from None
        finally:
            self._waiting[group.name] -= 1
        ctx.queue_wait = waited + held.seat.waited
        return held

    def leave(self, held: HeldSeat) -> None:
        """Note how long it was held, and give it back; called by the seat itself."""
        stay = self._clock.monotonic() - held.since
        known = self._stays.get(held.seat.group, stay)
        self._stays[held.seat.group] = known + (stay - known) * NEWEST
        held.store.leave_seat(held.seat)

    def decline(self, held: HeldSeat) -> None:
        """Give it back; called by the seat itself."""
        held.store.leave_seat(held.seat)

    async def _ask(
        self, ctx: RequestContext, group: BackendGroup, candidates: Candidates, *, max_queued: int, patience: float
    ) -> HeldSeat:
        """What the group's store gives. Raises as `LimiterStore.seat`."""
        store, called = self._counters.of(group.name), self._counters.called(group.name)
        seat = await store.seat(
            group.name,
            ctx.organization,
            candidates=spelled(candidates, called) if called else candidates,
            limit=self._limits.limit,
            max_queued=max_queued,
            patience=patience,
        )
        backend = next((name for name, there in called.items() if there == seat.backend), seat.backend)
        return HeldSeat(self, seat, backend, store, self._clock.monotonic())

    def _retry_after(self, group: BackendGroup, backends: int) -> float:
        """Seconds until so many backends have served those who wait now, if seats are held as long as they were."""
        counted = self._counters.of(group.name).seat_counts()
        queued = next((counts.queued for counts in counted if counts.group == group.name), 0)
        seats = self._limits.limit * max(backends, 1)
        stay = self._stays.get(group.name, self._limits.patience)
        return max(LEAST_RETRY_SECS, (queued + 1) * stay / seats)


def spelled(candidates: Candidates, called: Mapping[str, str]) -> Candidates:
    """The candidates as they are called where they are counted."""
    return lambda: [called.get(name, name) for name in candidates()]
