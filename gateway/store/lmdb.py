"""What if there are several workers on one host? The limits' state in an LMDB tree that all of them map."""

import asyncio
import itertools
from functools import partial
from typing import TYPE_CHECKING

from gateway.core.clock import Clock
from gateway.core.timings import Timings, Untimed
from gateway.store import environment, seating, slots
from gateway.store.accounts import Accounts
from gateway.store.counting import count, lines
from gateway.store.desk import Desk, unavailable
from gateway.store.errors import NoPlaceError, NoSlotError, StoreUnavailableError
from gateway.store.eviction import BucketShelf, used_bytes
from gateway.store.lmdb_accounts import LmdbAccounts
from gateway.store.parcels import Parcels
from gateway.store.protocol import Bucket, BucketState, Candidates, Grant, GroupCounts, KeyCounts, Seat, StoreCounts
from gateway.store.records import Claimant, record_name, ticket_key
from gateway.store.spares import Spares
from gateway.store.ticks import TICK_SECS
from gateway.store.tree import Tree
from gateway.store.waiters import Lookout

if TYPE_CHECKING:
    from gateway.store.settings import StoreSettings

CLAIMS_SHARE = 0.85
"""Share of the map above which nobody more is admitted; what is left lets those who run end."""

ENTRIES_PER_LOOK = 32
"""Entries between two looks at how full the map is, which cost as much as an entry: a worker writes 20 kB meanwhile."""


class LmdbStore:
    """A `LimiterStore` for all workers of a host, each with a store of its own on the same directory.

    Every decision is one write transaction; LMDB's writer lock is a robust mutex that survives a kill. Slots, seats
    and places in a queue are kept under their worker's number: what a dead worker had is given up by whoever notices.
    A slot that nobody misses stays with its worker for the next request (docs/decisions/0055), and so do tokens of a
    bucket that is far from empty (0081).
    """

    def __init__(self, settings: "StoreSettings", clock: Clock, timings: Timings | None = None) -> None:
        self._clock = clock
        self._size = environment.map_bytes(settings.max_tracked_organizations, settings.journal_bytes)
        self._shelf = BucketShelf(settings.max_tracked_organizations, self._size, settings.limiter_idle_secs)
        room = environment.Room(self._size, settings.journal_bytes)
        self._desk = Desk(settings.limiter_path, room, clock, timings or Untimed())
        self._parcels = Parcels(self._desk, clock, self._shelf)
        self._accounts = LmdbAccounts(self._desk, clock, settings.max_tracked_organizations)
        self.accounts: Accounts = self._accounts
        self._decide = self._desk.decide
        self._spares = Spares(self._desk)
        self._lookout = Lookout(self._desk.wake)
        self._tokens = itertools.count(1)
        self._entries = 0

    @property
    def own(self) -> "LmdbStore":
        """See `LimiterStore.own`."""
        return self

    async def open(self) -> None:
        """Join the workers on LIMITER_PATH. Raises StoreUnavailableError with a sentence for the operator."""
        self._desk.open(self._called_for)
        self._accounts.open()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_soon(self._tick)

    async def close(self) -> None:
        """See `LimiterStore.close`."""
        if self._desk.closed:
            return
        self._timer.cancel()
        self._accounts.close()
        self._parcels.give_back()
        self._spares.close()
        self._desk.close()

    async def take(self, key: str, bucket: Bucket, cost: float = 1.0) -> BucketState:
        """See `LimiterStore.take`."""
        parcel = self._parcels.get(key)
        if parcel is not None and cost == 1.0:
            state = parcel.draw(self._clock.monotonic(), bucket)
            if state is not None:
                return state
        return await self._parcels.take(key, bucket, cost)

    async def acquire(self, key: str, *, limit: int, max_queued: int, patience: float) -> Grant:
        """See `LimiterStore.acquire`."""
        name = record_name(key)
        token = next(self._tokens)
        if name in self._spares and self._spares.take_over(name, limit):
            return Grant(key, token, spare_of=limit)
        grant = Grant(key, token)
        entry = self._enter(name, token, limit, max_queued)
        if entry == slots.REFUSED and patience > TICK_SECS and self._spares.others_may_keep_some():
            await self._clock.sleep(TICK_SECS)
            entry = self._enter(name, token, limit, max_queued)
        if entry == slots.STARTED_WITH_ROOM:
            if patience > TICK_SECS and max_queued > 0:  # one who is refused could not call for it
                grant.spare_of = limit
            return grant
        if entry == slots.STARTED:
            return grant
        if entry == slots.REFUSED:
            raise NoPlaceError
        self._spares.hear_of_waiters()
        ticket = ticket_key(name, entry)
        try:
            grant.waited = await self._desk.wait(token, ticket, patience)
            holds = self._decide(slots.settle, ticket)
        except BaseException:
            self._desk.give_up(slots.withdraw, ticket, self._desk.worker)
            raise
        if not holds:
            raise NoSlotError
        return grant

    def release(self, grant: Grant) -> None:
        """See `LimiterStore.release`."""
        if grant.released:
            return
        grant.released = True
        name = record_name(grant.key)
        if not (grant.spare_of and self._spares.keep(name, grant.spare_of)):
            self._desk.give_up(slots.leave, name, self._desk.worker)

    async def seat(
        self, group: str, organization: str, *, candidates: Candidates, limit: int, max_queued: int, patience: float
    ) -> Seat:
        """See `LimiterStore.seat`."""
        if not self._entries % ENTRIES_PER_LOOK:
            self._decide(self._refuse_if_full)
        self._entries += 1
        seat = Seat(group, "", next(self._tokens))
        names = named(candidates)
        who = Claimant(self._desk.worker, seat.token)
        usable = tuple(names)
        asked = seating.Asked(record_name(group), record_name(organization), who, usable)
        backend, place, called = self._decide(seating.enter, asked, limit, max_queued)
        self._desk.call(called)
        if not place:
            if not backend:
                raise NoPlaceError
            seat.backend = names[backend]
            return seat

        def look() -> bool:
            nonlocal usable
            names = named(candidates)
            if usable != (usable := tuple(names)):
                self._lookout.tell()
            backend, called = self._decide(seating.look, place, usable)
            self._desk.call(called)
            if backend:
                seat.backend = names[backend]
            return bool(backend) or not names

        try:
            wait = partial(self._desk.wait, seat.token, place)
            seat.waited = await self._lookout.wait(seat.token, wait, look, patience)
        except BaseException:
            self._desk.give_up(seating.withdraw, place)
            raise
        if not seat.backend:
            self._desk.give_up(seating.withdraw, place)
            raise NoSlotError
        return seat

    def leave_seat(self, seat: Seat) -> None:
        """See `LimiterStore.leave_seat`."""
        if not seat.released:
            seat.released = True
            self._desk.give_up(seating.leave, record_name(seat.group), record_name(seat.backend), self._desk.worker)

    async def next_turn(self, name: str) -> int:
        """See `LimiterStore.next_turn`."""
        return self._decide(slots.next_turn, record_name(name))

    async def lines(self) -> list[KeyCounts]:
        """See `LimiterStore.lines`."""
        return self._decide(lines)

    def counts(self) -> StoreCounts:
        """See `LimiterStore.counts`."""
        self._spares.give_back()
        return self._decide(count)

    def seat_counts(self) -> tuple[GroupCounts, ...]:
        """See `LimiterStore.seat_counts`."""
        return self._decide(seating.count_seats)

    def _enter(self, name: bytes, token: int, limit: int, max_queued: int) -> int:
        """`slots.enter`'s verdict; whoever it gives reason to look is called."""
        if not self._entries % ENTRIES_PER_LOOK:  # and again by the next entry, if this one is refused
            self._decide(self._refuse_if_full)
        entry, called = self._decide(slots.enter, name, (self._desk.worker, token), limit, max_queued)
        self._entries += 1
        if called:
            self._desk.call(called)
        return entry

    def _called_for(self) -> None:
        """Somebody waits for what this worker may keep."""
        self._spares.called_for()
        self._parcels.called_for()
        self._accounts.called_for()

    def _refuse_if_full(self, tree: Tree) -> None:
        if used_bytes(tree.stat()) > self._size * CLAIMS_SHARE:
            raise unavailable("Too many requests are running.")

    def _tick(self) -> None:
        """Do what nobody's request does: settle, pay debts, find lost wake-ups and dead workers, drop idle buckets."""
        self._timer = self._loop.call_later(TICK_SECS, self._tick)
        self._spares.tick()
        self._accounts.tick()
        self._parcels.tick()
        try:
            self._spares.give_back()
            if self._decide(slots.somebody_waits):
                self._spares.hear_of_waiters()
            self._desk.look_after()
            self._decide(self._shelf.forget_idle, self._clock.monotonic())
        except StoreUnavailableError as error:
            self._desk.complain("limits_not_looked_after", error)
        else:
            self._desk.recovered(still_owes=bool(self._spares or self._parcels) or self._accounts.owes)


def named(candidates: Candidates) -> dict[bytes, str]:
    """The candidates of now, each once, by the names that records have for them."""
    return {record_name(backend): backend for backend in candidates()}
