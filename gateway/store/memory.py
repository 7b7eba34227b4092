"""What if there is one worker? The limits' state in its own memory."""

import heapq
import itertools
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from gateway.core.clock import Clock
from gateway.store import bucket as buckets
from gateway.store.accounts import Accounts
from gateway.store.choices import BUSIEST, EVICTION_SAMPLE
from gateway.store.errors import NoPlaceError, NoSlotError, StoreUnavailableError
from gateway.store.group_seats import GroupSeats
from gateway.store.line import heads_due, may_start
from gateway.store.memory_accounts import MemoryAccounts
from gateway.store.protocol import Bucket, BucketState, Candidates, Grant, GroupCounts, KeyCounts, Seat, StoreCounts
from gateway.store.waiters import Lookout, Waiters

if TYPE_CHECKING:
    from gateway.store.settings import StoreSettings


@dataclass(slots=True)
class Queue:
    """One key's slots: the tokens that hold one, and those that wait, oldest first."""

    limit: int
    holding: set[int] = field(default_factory=set)
    waiting: OrderedDict[int, None] = field(default_factory=OrderedDict)

    @property
    def line(self) -> tuple[int, int, int]:
        """The queue as its discipline sees it."""
        return len(self.holding), len(self.waiting), self.limit


class MemoryStore:
    """A `LimiterStore` for one process. A key's queue exists only while somebody holds or waits."""

    def __init__(self, settings: "StoreSettings", clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()  # least recently used first
        self._queues: dict[str, Queue] = {}
        self._seats: defaultdict[str, GroupSeats] = defaultdict(GroupSeats)  # where somebody has a seat or waits
        self._turns: dict[str, int] = {}
        self._tokens = itertools.count(1)
        self._waiters = Waiters(clock)
        self._lookout = Lookout(self._waiters.wake)
        self._closed = False
        self.accounts: Accounts = MemoryAccounts(clock, settings.max_tracked_organizations, settings.journal_bytes)

    @property
    def own(self) -> "MemoryStore":
        """See `LimiterStore.own`."""
        return self

    async def open(self) -> None:
        """Nothing to join."""

    async def close(self) -> None:
        """See `LimiterStore.close`."""
        self._closed = True
        self._queues.clear()
        self._seats.clear()
        self._full_at.clear()
        self._waiters.wake_all()

    async def take(self, key: str, bucket: Bucket, cost: float = 1.0) -> BucketState:
        """See `LimiterStore.take`."""
        now = self._clock.monotonic()
        before = self._full_at.get(key, buckets.FULL)
        after, state = buckets.take(before, now, bucket, cost)
        if after != before:
            self._full_at[key] = after
            self._full_at.move_to_end(key)
            if before == buckets.FULL:
                self._evict(now)
        return state

    async def acquire(self, key: str, *, limit: int, max_queued: int, patience: float) -> Grant:
        """See `LimiterStore.acquire`."""
        queue = self._queues.get(key) or self._queues.setdefault(key, Queue(limit))
        queue.limit = limit
        self._call_heads(queue)
        grant = Grant(key, next(self._tokens))
        if may_start(*queue.line):
            queue.holding.add(grant.token)
            return grant
        if len(queue.waiting) >= max_queued:
            self._drop_if_unused(key, queue)
            raise NoPlaceError
        queue.waiting[grant.token] = None
        try:
            grant.waited = await self._waiters.wait(grant.token, patience)
        except BaseException:
            self.release(grant)
            raise
        if grant.token not in queue.holding:
            self.release(grant)
            if self._closed:
                raise StoreUnavailableError("The gateway is going away.")
            raise NoSlotError
        return grant

    def release(self, grant: Grant) -> None:
        """See `LimiterStore.release`; it also gives up a place in the queue."""
        grant.released = True
        queue = self._queues.get(grant.key)
        if queue is None:
            return
        queue.holding.discard(grant.token)
        queue.waiting.pop(grant.token, None)
        self._call_heads(queue)
        self._drop_if_unused(grant.key, queue)

    async def seat(
        self, group: str, organization: str, *, candidates: Candidates, limit: int, max_queued: int, patience: float
    ) -> Seat:
        """See `LimiterStore.seat`."""
        seats = self._seats[group]
        seats.limit = limit
        self._call_in(seats)
        seat = Seat(group, "", next(self._tokens))
        usable = tuple(dict.fromkeys(candidates()))
        if backend := seats.choose(usable):
            seats.sit(seat, backend)
            return seat
        if seats.queued >= max_queued:
            self._forget_if_empty(group)
            raise NoPlaceError
        seats.wait(organization, seat, usable)

        def look() -> bool:
            nonlocal usable
            if self._closed:
                raise StoreUnavailableError("The gateway is going away.")
            if usable != (usable := tuple(dict.fromkeys(candidates()))):
                self._lookout.tell()
            seats.look(organization, seat, usable)
            self._call_in(seats)
            return bool(seat.backend) or not usable

        try:
            seat.waited = await self._lookout.wait(seat.token, partial(self._waiters.wait, seat.token), look, patience)
        except BaseException:
            self._withdraw(seat, organization)
            raise
        if not seat.backend:
            self._withdraw(seat, organization)
            raise NoSlotError
        return seat

    def leave_seat(self, seat: Seat) -> None:
        """See `LimiterStore.leave_seat`."""
        seats = self._seats.get(seat.group)
        if seats is None or seat.released:
            return
        seat.released = True
        seats.leave(seat)
        self._call_in(seats)
        self._forget_if_empty(seat.group)

    async def next_turn(self, name: str) -> int:
        """See `LimiterStore.next_turn`."""
        turn = self._turns.get(name, 0)
        self._turns[name] = turn + 1
        return turn

    async def lines(self) -> list[KeyCounts]:
        """See `LimiterStore.lines`."""
        return [KeyCounts(key, len(queue.holding), len(queue.waiting)) for key, queue in self._queues.items()]

    def counts(self) -> StoreCounts:
        """See `LimiterStore.counts`."""
        each = [KeyCounts(key, len(queue.holding), len(queue.waiting)) for key, queue in self._queues.items()]
        busiest = heapq.nlargest(BUSIEST, each, key=lambda count: count.in_flight + count.queued)
        in_flight, queued = sum(count.in_flight for count in each), sum(count.queued for count in each)
        return StoreCounts(in_flight, queued, len(self._full_at), tuple(busiest))

    def seat_counts(self) -> tuple[GroupCounts, ...]:
        """See `LimiterStore.seat_counts`."""
        return tuple(GroupCounts(group, seats.queued, dict(seats.taken)) for group, seats in self._seats.items())

    def _withdraw(self, seat: Seat, organization: str) -> None:
        """Give up a seat that was given in this very moment, or the place."""
        if seat.backend or self._closed:
            self.leave_seat(seat)
        else:
            self._seats[seat.group].quit(organization, seat)
            self._forget_if_empty(seat.group)

    def _call_in(self, group: GroupSeats) -> None:
        for seat in group.call():
            self._waiters.wake(seat.token)

    def _forget_if_empty(self, group: str) -> None:
        seats = self._seats[group]
        if not seats.taken and not seats.rota:
            del self._seats[group]

    def _call_heads(self, queue: Queue) -> None:
        for _ in range(heads_due(*queue.line)):
            token, _nothing = queue.waiting.popitem(last=False)
            queue.holding.add(token)
            self._waiters.wake(token)

    def _drop_if_unused(self, key: str, queue: Queue) -> None:
        if not queue.holding and not queue.waiting:
            self._queues.pop(key, None)

    def _evict(self, now: float) -> None:
        """Forget what is idle at the old end; a new key pays for at most one sample of others."""
        idle_since = now - self._settings.limiter_idle_secs
        over = len(self._full_at) > self._settings.max_tracked_organizations
        sample = [
            item for item in itertools.islice(self._full_at.items(), EVICTION_SAMPLE) if item[0] not in self._queues
        ]
        idle = [key for key, full_at in sample if full_at <= idle_since]
        for key in idle or (buckets.choose_victims(sample, now) if over else []):
            del self._full_at[key]
