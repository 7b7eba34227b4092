"""Has it been answered, or is it being answered? What one worker asks of the answers and flights that all share."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Self, TypeVar, TypeVarTuple

from gateway.cache import flights, kept
from gateway.cache.host import CacheUnavailableError, Host
from gateway.cache.kept import Answer, Bounds, Kept
from gateway.cache.records import Claimant
from gateway.cache.verdict import WORKER_DIED, Verdict, decoded, encoded
from gateway.core.clock import Clock
from gateway.core.looks import Looks
from gateway.store.tree import Tree

if TYPE_CHECKING:
    from gateway.cache.settings import CacheSettings

TICK_SECS: Final = 0.2
"""How soon a dead worker or a lost wake-up is noticed, where somebody waits; otherwise nothing ticks."""

log = logging.getLogger(__name__)

Told = Callable[[Kept], None]


class _Place(NamedTuple):
    """Where a request waits: its record."""

    record: bytes


class _Part(Enum):
    LEADS = 1


_LEADS: Final = _Part.LEADS
Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class Flight:
    """A request that runs for all that are like it. End it by `land` or `fail`, once; what comes later changes nothing.

    Attributes:
        on_deserted: called when nobody waits for it any more and its own client has gone.
    """

    def __init__(self, cache: "ResponseCache", key: bytes, claimant: Claimant) -> None:
        self._cache = cache
        self._key = key
        self._claimant = claimant
        self.on_deserted: Callable[[], None] = lambda: None

    def land(self, answer: Answer | None) -> None:
        """It is answered; None: by what is not for sharing, and those who wait ask by themselves."""
        self._cache.landed(self._key, self._claimant, answer)

    def fail(self, verdict: Verdict) -> None:
        """It failed: one of those who wait leads now, or all are told so."""
        decision = flights.land if verdict.final else flights.fail
        self._cache.tell(decision, self._key, self._claimant, encoded(verdict))
        self._cache.forget(self._claimant)

    def desert(self) -> bool:
        """Its client has gone: whether it runs on, as others wait for it."""
        return self._cache.deserted(self, self._key, self._claimant)


@dataclass(slots=True)
class _Follower:
    """One that waits here.

    Attributes:
        key: its request's.
        record: of its place.
        claimant: who it is.
        until: when its time is over, in seconds of the monotonic clock.
        expire: called then.
        news: set when it is to look.
    """

    key: bytes
    record: bytes
    claimant: Claimant
    until: float
    expire: Callable[[], None]
    news: asyncio.Event


class Following:
    """A request that waits for another's answer."""

    def __init__(self, cache: "ResponseCache", follower: _Follower) -> None:
        self._cache = cache
        self._follower = follower

    async def outcome(self) -> "Answer | Flight | Verdict | None":
        """What has become of it: the answer, the flight that it leads now, how it failed, or None: it asks alone.

        A cancelled call has left.
        """
        return await self._cache.outcome(self._follower)


class ResponseCache:
    """One worker's share in what the workers of a host keep.

    Nothing here may cost a request its answer: where the map cannot be used, requests run as if there were none.

    Args:
        settings: the bounds.
        host: the map, and who shares it.
        clock: for the time to live.
        told: of every change in what is kept.
    """

    def __init__(self, settings: "CacheSettings", host: Host, clock: Clock, told: Told) -> None:
        self._bounds = Bounds(
            settings.cache_ttl_secs,
            settings.cache_max_entries,
            settings.cache_max_bytes,
            settings.cache_max_answer_bytes,
        )
        self._host = host
        self._clock = clock
        self._told = told
        self._open = False
        self._ailing = False
        self._tokens = count(1)
        self._followers: dict[int, _Follower] = {}
        self._deserted: dict[int, tuple[Flight, bytes, Claimant]] = {}
        self._debts: list[Callable[[Tree], list[Claimant]]] = []  # what could not be written yet
        self._looks = Looks(TICK_SECS, self._look_after)

    @property
    def longest(self) -> int:
        """Bytes of the longest body that is kept."""
        return self._bounds.answer

    def open(self) -> None:
        """Join the other workers, and bury those that have died; a map that cannot be had is told to the log."""
        try:
            self._host.open(self._rung)
        except CacheUnavailableError as error:
            log.warning("cache_not_opened", extra={"why": str(error)})
            return
        self._open = True
        self._bury_the_dead()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave. Whoever leads or waits here has ended before."""
        if self._open:
            self.tell(flights.bury, self._host.worker, encoded(WORKER_DIED))
            self._open = False
            self._debts.clear()
            self._host.close()

    def ask(self, key: bytes, until: float, expire: Callable[[], None]) -> Answer | Flight | Following | None:
        """The kept answer, or the part that this request has in getting it; None: there is no cache now.

        Args:
            key: of the request; see `key.key_of`.
            until: `expire` is called when it waits longer than that, in seconds of the monotonic clock.
            expire: ends the request.
        """
        claimant = Claimant(self._host.worker, next(self._tokens))
        found = self._decide(_ask, key, claimant, self._clock.monotonic())
        if isinstance(found, _Place):
            follower = _Follower(key, found.record, claimant, until, expire, asyncio.Event())
            self._followers[claimant.token] = follower
            self._looks.begin()
            return Following(self, follower)
        return Flight(self, key, claimant) if found is _LEADS else found

    def keep(self, key: bytes, answer: Answer) -> None:
        """Keep an answer for which nobody waits."""
        self._note(self._decide(kept.keep, key, answer, self._bounds, self._clock.monotonic()))

    def clear(self) -> None:
        """Forget all answers, for all workers."""
        self._note(self._decide(kept.clear))

    # What flights and those who wait do.

    def landed(self, key: bytes, leader: Claimant, answer: Answer | None) -> None:
        """See `Flight.land`."""
        if answer is not None and len(answer.body) > self._bounds.answer:
            answer = None
        done = self._decide(_land, key, leader, answer, self._bounds, self._clock.monotonic())
        if done is None:  # no place for it: others are not to wait for that
            self.tell(flights.land, key, leader, flights.ALONE)
            self.clear()
        else:
            self._note(done[0])
            self._call(done[1])
        self.forget(leader)

    def deserted(self, flight: Flight, key: bytes, leader: Claimant) -> bool:
        """See `Flight.desert`."""
        if not self._decide(flights.desert, key, leader):
            return False
        self._deserted[leader.token] = flight, key, leader
        self._looks.begin()
        return True

    def forget(self, leader: Claimant) -> None:
        """A flight has ended."""
        self._deserted.pop(leader.token, None)

    async def outcome(self, follower: _Follower) -> Answer | Flight | Verdict | None:
        """See `Following.outcome`."""
        key, claimant = follower.key, follower.claimant
        try:
            while True:
                await follower.news.wait()
                follower.news.clear()
                found = self._decide(_look, key, follower.record, claimant, self._clock.monotonic())
                if found is _LEADS:
                    return Flight(self, key, claimant)
                if isinstance(found, Answer):
                    return found
                if found is None:
                    self.tell(flights.leave, key, follower.record, claimant)
                    return None
                if isinstance(found, bytes):
                    return None if found == flights.ALONE else decoded(found)
                follower.record = found.record
        except BaseException:  # a cancellation
            self.tell(flights.leave, key, follower.record, claimant)
            raise
        finally:
            del self._followers[claimant.token]

    def tell(self, decision: Callable[[Tree, *Ts], list[Claimant]], *args: *Ts) -> None:
        """Decide, and have those look whom it concerns; what cannot be written is tried again."""
        called = self._decide(decision, *args)
        if called is None:
            self._debts.append(lambda tree: decision(tree, *args))
            self._looks.begin()
        else:
            self._call(called)

    def _call(self, called: Sequence[Claimant]) -> None:
        elsewhere: dict[int, list[int]] = {}
        for worker, token in called:
            if worker == self._host.worker:
                self._rung(token)
            else:
                elsewhere.setdefault(worker, []).append(token)
        for worker, tokens in elsewhere.items():
            self._host.ring(worker, tokens)

    def _rung(self, token: int) -> None:
        """One that waits here is to look, or a leader whose client has gone."""
        follower = self._followers.get(token)
        if follower is not None:
            follower.news.set()
        elif token in self._deserted:
            flight, key, leader = self._deserted[token]
            if not self._decide(flights.leads, key, leader):
                self.forget(leader)
                flight.on_deserted()

    def _look_after(self) -> bool:
        """What a datagram may have failed to say, and whose time is over; whether anybody is left to look after."""
        if not self._open:
            return False
        now = self._clock.monotonic()
        debts, self._debts = self._debts, []
        for debt in debts:
            self.tell(debt)
        self._bury_the_dead()
        for follower in tuple(self._followers.values()):
            if now >= follower.until:
                follower.expire()
            elif not self._decide(flights.waits, follower.record):
                follower.news.set()
        for token in tuple(self._deserted):
            self._rung(token)
        return bool(self._followers or self._deserted or self._debts)

    def _bury_the_dead(self) -> None:
        try:
            dead = self._host.dead()
        except CacheUnavailableError as error:
            self._complain(error)
            return
        for worker in dead:
            self.tell(flights.bury, worker, encoded(WORKER_DIED))
            self._host.bury(worker)

    def _decide(self, decision: Callable[[Tree, *Ts], T], *args: *Ts) -> T | None:
        """What the decision gives; None where nothing can be decided now."""
        if not self._open:
            return None
        try:
            result = self._host.decide(decision, *args)
        except CacheUnavailableError as error:
            self._complain(error)
            return None
        self._ailing = False
        return result

    def _complain(self, error: CacheUnavailableError) -> None:
        if not self._ailing:
            log.error("cache_unavailable", exc_info=error)
        self._ailing = True

    def _note(self, change: Kept | None) -> None:
        if change is not None and any(change):
            self._told(change)


_Found = Answer | _Place | Literal[_Part.LEADS]


def _ask(tree: Tree, key: bytes, claimant: Claimant, now: float) -> _Found:
    """The answer, or the part that a request has in getting it."""
    answer = kept.find(tree, key, now)
    if answer is not None:
        return answer
    record = flights.lead_or_wait(tree, key, claimant)
    return _LEADS if record is None else _Place(record)


def _look(tree: Tree, key: bytes, record: bytes, claimant: Claimant, now: float) -> _Found | bytes:
    """The same for one that waits, or what it is told."""
    words = flights.told(tree, record)
    if words is None:
        if flights.leads(tree, key, claimant):
            return _LEADS
        return kept.find(tree, key, now, flights.number_of(record)) or _ask(tree, key, claimant, now)
    return words or _Place(record)


def _land(
    tree: Tree, key: bytes, leader: Claimant, answer: Answer | None, bounds: Bounds, now: float
) -> tuple[Kept, list[Claimant]]:
    change = kept.keep(tree, key, answer, bounds, now) if answer is not None else Kept()
    return change, flights.land(tree, key, leader, b"" if change.added else flights.ALONE)
