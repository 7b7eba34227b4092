"""What if there are several workers on one host? The limits' state in an LMDB tree that all of them map."""

import asyncio
import heapq
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple, cast

import lmdb

from gateway.core.clock import Clock
from gateway.store import environment, ledger
from gateway.store.doorbell import Doorbell
from gateway.store.errors import NoPlaceError, NoSlotError, StoreUnavailableError
from gateway.store.eviction import BucketShelf, used_bytes
from gateway.store.protocol import Bucket, BucketState, Grant, KeyCounts, StoreCounts
from gateway.store.records import (
    AFTER_WORKERS,
    TURN,
    Claimant,
    record_name,
    ticket_key,
)
from gateway.store.settings import BUSIEST, StoreSettings
from gateway.store.tree import Environment, Tree
from gateway.store.waiters import Waiters

TICK_SECS = 0.1
"""How soon a dead worker, a lost wake-up or an unpaid release is noticed; a tick costs some 50 us."""

RECORDS_PER_STEP = 200
"""Records looked at for a dead worker in one transaction: about 1 ms at the worst, so that no loop is held up."""

SPARED_NAMES = 32
"""Names of which a worker keeps slots; all are given back in one transaction: 0.1 ms."""

SPARES_PER_NAME = 16
"""Slots of one name that a worker keeps at the most: what a worker that is held up holds back from the others."""

TICKS_WITHOUT_SPARES = 3
"""For how many ticks a worker keeps no slot once it is told that somebody waits; that is repeated once a tick."""

CLAIMS_SHARE = 0.85
"""Share of the map above which nobody more is admitted; what is left lets those who run end."""

ENTRIES_PER_LOOK = 32
"""Entries between two looks at how full the map is, which cost as much as an entry: a worker writes 20 kB meanwhile."""

RETRY_AFTER_SECS = 1.0

log = logging.getLogger(__name__)

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class LmdbStore:
    """A `LimiterStore` for all workers of a host, each with a store of its own on the same directory.

    Every decision is one write transaction; LMDB's writer lock is a robust mutex that survives a kill. Slots and
    places in a queue are kept under their worker's number: what a dead worker had is given up by whoever notices.
    A slot that nobody misses stays with its worker for the next request: docs/decisions/0055.
    """

    def __init__(self, settings: StoreSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._size = environment.map_bytes(settings.max_tracked_organizations)
        self._shelf = BucketShelf(settings.max_tracked_organizations, self._size, settings.limiter_idle_secs)
        self._waiters = Waiters(clock)
        self._tokens = itertools.count(1)
        self._tickets: dict[int, bytes] = {}  # of those who wait here, by token
        self._debts: list[tuple[bytes, bytes | None]] = []  # name and ticket of releases that could not be written
        self._spares: dict[bytes, int] = {}  # slots that this worker has and nobody uses, by name
        self._ticks_without_spares = 0  # still to come, since somebody waited in any worker
        self._waited_for_since = 0.0  # the loop's time at which that began
        self._told: set[int] = set()  # the workers that were told so since the last tick
        self._burying: set[int] = set()
        self._entries = 0
        self._closed = True
        self._ailing = False

    async def open(self) -> None:
        """Join the workers on LIMITER_PATH. Raises StoreUnavailableError with a sentence for the operator."""
        directory = self._settings.limiter_path
        with environment.entered(directory) as alone:
            try:
                opened = environment.open_environment(directory, self._size, alone=alone)
                self._env = cast("Environment", opened)
                self._worker = self._decide(ledger.join)
                self._doorbell = Doorbell(directory, self._worker, self._rung)
            except (lmdb.Error, OSError) as error:
                raise StoreUnavailableError(f"LIMITER_PATH {directory} cannot be opened: {error}") from error
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_soon(self._tick)

    async def close(self) -> None:
        """See `LimiterStore.close`."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        self._waiters.wake_all()
        with environment.entered(self._settings.limiter_path):
            try:
                self._call(self._clear(self._worker))
                self._doorbell.remove(self._worker)
            except StoreUnavailableError:
                log.exception("leaving the shared limits failed; another worker will clear up")
            self._env.close()
            self._doorbell.close()

    async def take(self, key: str, bucket: Bucket, cost: float = 1.0) -> BucketState:
        """See `LimiterStore.take`."""
        name = record_name(key)
        now = self._clock.monotonic()
        return self._decide(self._shelf.take, name, now, bucket, cost)

    async def acquire(self, key: str, *, limit: int, max_queued: int, patience: float) -> Grant:
        """See `LimiterStore.acquire`."""
        name = record_name(key)
        token = next(self._tokens)
        if name in self._spares and self._takes_over(name, limit):
            return Grant(key, token, spare=True)
        grant = Grant(key, token)
        entry = self._enter(name, token, limit, max_queued)
        if entry == ledger.REFUSED and patience > TICK_SECS and self._some_may_be_kept():
            await self._clock.sleep(TICK_SECS)
            entry = self._enter(name, token, limit, max_queued)
        if entry == ledger.STARTED_WITH_ROOM:
            grant.spare = patience > TICK_SECS and max_queued > 0  # one who is refused could not call for it
            return grant
        if entry == ledger.STARTED:
            return grant
        if entry == ledger.REFUSED:
            raise NoPlaceError
        self._hear_of_waiters()
        ticket = self._tickets[token] = ticket_key(name, entry)
        try:
            grant.waited = await self._waiters.wait(token, patience)
            holds = self._decide(ledger.settle, ticket)
        except BaseException:
            self.release(grant)
            raise
        del self._tickets[token]
        if not holds:
            raise NoSlotError
        return grant

    def release(self, grant: Grant) -> None:
        """See `LimiterStore.release`; it also gives up a place in the queue."""
        if grant.released:
            return
        grant.released = True
        if self._closed:
            return
        name, spares = record_name(grant.key), self._spares
        kept = spares.get(name, 0)
        if grant.spare and kept < SPARES_PER_NAME and not self._ticks_without_spares:
            spares[name] = kept + 1
            if len(spares) > SPARED_NAMES:
                self._give_back()
        else:
            self._give_up(name, self._tickets.pop(grant.token, None) if self._tickets else None)

    async def next_turn(self, name: str) -> int:
        """See `LimiterStore.next_turn`."""
        return self._decide(ledger.next_turn, record_name(name))

    def counts(self) -> StoreCounts:
        """See `LimiterStore.counts`."""
        self._give_back()
        return self._decide(count)

    def _enter(self, name: bytes, token: int, limit: int, max_queued: int) -> int:
        """`ledger.enter`'s verdict; whoever it gives reason to look is called."""
        if not self._entries % ENTRIES_PER_LOOK:  # and again by the next entry, if this one is refused
            self._decide(self._refuse_if_full)
        entry, called = self._decide(ledger.enter, name, (self._worker, token), limit, max_queued)
        self._entries += 1
        if called:
            self._call(called)
        return entry

    def _hear_of_waiters(self) -> None:
        """Somebody waits, in whatever worker: no slot is kept for a while."""
        if not self._ticks_without_spares:
            self._waited_for_since = self._loop.time()
        self._ticks_without_spares = TICKS_WITHOUT_SPARES

    def _some_may_be_kept(self) -> bool:
        """Has the wait begun so lately that other workers may not have given back what they kept?"""
        self._hear_of_waiters()
        return self._loop.time() - self._waited_for_since < TICK_SECS

    def _takes_over(self, name: bytes, limit: int) -> bool:
        """Have a slot that was kept, if nobody has a better right to it; otherwise keep none."""
        if not self._decide(ledger.may_take_over, name, limit):
            self._give_back()
            return False
        left = self._spares.pop(name) - 1
        if left:
            self._spares[name] = left
        return True

    def _give_back(self) -> None:
        """Give up the slots that nobody uses; what cannot be written now is kept until the next tick."""
        if not self._spares:
            return
        try:
            called = self._decide(ledger.leave_all, self._worker, self._spares)
        except StoreUnavailableError as error:
            self._complain("slots could not be given back; trying again", error)
            return
        self._spares.clear()
        self._call(called)

    def _rung(self, token: int) -> None:
        """Another worker says that one of this worker's waiters may look, or that somebody waits for a slot."""
        if token != ledger.ANYBODY:
            self._waiters.wake(token)
        else:
            self._hear_of_waiters()
            self._give_back()

    def _refuse_if_full(self, tree: Tree) -> None:
        if used_bytes(tree.stat()) > self._size * CLAIMS_SHARE:
            raise StoreUnavailableError("Too many requests are running.", retry_after=RETRY_AFTER_SECS)

    def _decide(self, decision: Callable[[Tree, *Ts], T], *args: *Ts) -> T:
        """Run one decision as one transaction.

        Questions too are write transactions, which cost no more: a reader that is stopped would keep every page that
        changes from being used again, and fill the map within a second.
        """
        try:
            tree = self._env.begin(None, None, True)  # noqa: FBT003 -- see Environment.begin
            try:
                result = decision(tree, *args)
            except BaseException:
                tree.abort()
                raise
            tree.commit()
        except lmdb.Error as error:
            raise unavailable() from error
        else:
            return result

    def _complain(self, message: str, error: Exception) -> None:
        """Log the first trouble after a tick without any."""
        if not self._ailing:
            log.error(message, exc_info=error)
        self._ailing = True

    def _give_up(self, name: bytes, ticket: bytes | None) -> None:
        try:
            if ticket is None:
                called = self._decide(ledger.leave, name, self._worker)
            else:
                called = self._decide(ledger.withdraw, ticket, self._worker)
        except StoreUnavailableError as error:
            self._debts.append((name, ticket))
            self._complain("a slot could not be given back; trying again", error)
            return
        if called:
            self._call(called)

    def _call(self, called: Sequence[Claimant]) -> None:
        """Wake those who got a slot, wherever they wait, and tell workers that somebody waits, once a tick."""
        elsewhere: defaultdict[int, list[int]] = defaultdict(list)
        for worker, token in called:
            if worker == self._worker:
                self._waiters.wake(token)
            elif token != ledger.ANYBODY:
                elsewhere[worker].append(token)
            elif worker not in self._told:
                self._told.add(worker)
                elsewhere[worker].append(token)
        for worker, tokens in elsewhere.items():
            self._doorbell.ring(worker, tokens)

    def _clear(self, worker: int) -> list[Claimant]:
        """Give up all that a worker has, at once: whoever may start now."""
        place: bytes | None = ledger.FIRST_PLACE
        called: list[Claimant] = []
        while place is not None:
            place, some = self._decide(ledger.part, worker, place, RECORDS_PER_STEP)
            called += some
        return called

    def _bury(self, worker: int, place: bytes = ledger.FIRST_PLACE) -> None:
        """Give up what a dead worker had, step by step."""
        self._burying.discard(worker)
        if self._closed:
            return
        try:
            next_place, called = self._decide(ledger.part, worker, place, RECORDS_PER_STEP)
        except StoreUnavailableError:
            return  # the next tick begins anew
        self._call(called)
        if next_place is None:
            self._doorbell.remove(worker)
        else:
            self._burying.add(worker)
            self._loop.call_soon(self._bury, worker, next_place)

    def _tick(self) -> None:
        """Do what nobody's request does: pay debts, look for lost wake-ups and dead workers, forget idle buckets."""
        self._timer = self._loop.call_later(TICK_SECS, self._tick)
        self._ticks_without_spares = max(self._ticks_without_spares - 1, 0)
        self._told.clear()
        try:
            self._pay_debts()
            self._give_back()
            self._decide(self._wake_those_who_may_go)
            for worker in self._decide(ledger.workers):
                if worker != self._worker and worker not in self._burying and self._doorbell.is_dead(worker):
                    self._bury(worker)
            self._decide(self._shelf.forget_idle, self._clock.monotonic())
        except StoreUnavailableError as error:
            self._complain("the shared limits cannot be looked after; trying again", error)
        else:
            self._ailing = bool(self._debts or self._spares)

    def _pay_debts(self) -> None:
        debts, self._debts = self._debts, []
        for name, ticket in debts:
            self._give_up(name, ticket)

    def _wake_those_who_may_go(self, tree: Tree) -> None:
        if ledger.somebody_waits(tree):
            self._hear_of_waiters()
        for token, ticket in self._tickets.items():
            if tree.get(ticket) is None:
                self._waiters.wake(token)


def count(tree: Tree) -> StoreCounts:
    """The state over all workers; about 1 us for each organization that holds or waits."""
    each = [KeyCounts(name.decode("utf-8", "replace"), *figures) for name, *figures in ledger.lines(tree)]
    in_flight, queued = sum(count.in_flight for count in each), sum(count.queued for count in each)
    few = 1 + sum(1 for _ in ledger.records_between(tree, TURN, AFTER_WORKERS))  # turns, workers, the newest's number
    tracked = tree.stat()["entries"] - len(each) - queued - few
    busiest = heapq.nlargest(BUSIEST, each, key=lambda count: count.in_flight + count.queued)
    return StoreCounts(in_flight, queued, tracked, tuple(busiest))


def unavailable() -> StoreUnavailableError:
    """What a request is told when its limits cannot be counted."""
    return StoreUnavailableError("The gateway cannot count requests at the moment.", retry_after=RETRY_AFTER_SECS)
