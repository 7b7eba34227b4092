"""Which backends of a group may a request try now, and when is it worth asking again if there are none?"""

from typing import NamedTuple

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.health import IN_ROTATION, State
from gateway.backends.reasons import Reason
from gateway.core.clock import Clock
from gateway.core.fence import fence
from gateway.core.fleet import Backend, BackendGroup

MISSED_BEATS = 3
"""Intervals between probes after which a prober that has not beaten is dead, and what it said is out of date."""
LEAST_PATIENCE_SECS = 3.0
"""The same where probes are more frequent than that: a busy host is no dead prober."""
PROBED_EVERY_SECS = 1.0
"""A backend that is out of rotation is probed so often, or more often where all are."""
DRAINING_TRIAL_SECS = 1.0
"""Who says that it shuts down while its probes are good is tried so often where its group has nobody else: it may have
said so once, of one engine among several, and be well."""
PATIENCE_SHARE = 0.1
"""What was down for an hour is not asked for every second: a client comes back after this share of the time that it has
lasted, and misses a backend that returns for no longer than that."""
LONGEST_PATIENCE_SECS = 60.0
"""At the most; what clients honour ends there (`MAX_RETRY_AFTER_SECS` in core/envelope.py)."""
HOPEFUL = frozenset({Reason.NOT_PROBED, Reason.RECOVERING, Reason.DRAINING})
"""Reasons of those who are not in rotation and may serve all the same while nobody is. Whether one drains is for its
circuit to say: it knows first, and knows when to try again."""


def patience(interval: float) -> float:
    """Seconds without a beat after which the prober is dead; `interval` is that between two probes."""
    return max(LEAST_PATIENCE_SECS, MISSED_BEATS * interval)


class Choice(NamedTuple):
    """Whom a request may try.

    Attributes:
        backends: the replicas for the policy to order, none of them down or draining; may be empty.
        trial: a replica whose circuit is half-open: who is granted its trial (`Breaker.take_trial`) goes there first,
            whether or not there are others.
        retry_after: seconds after which it is worth asking again; 0 where there are backends.
        why: the word of the `State` for which there are none; empty where there are.
        at_last: the same with those that are only suspected to hang, where there is nobody else; None where there is,
            or none is suspected. For who has asked the fallback of the group in vain, or would wait anyhow.
        reserve: replicas that no probe has ended at yet, where others are in rotation: for who got nothing from those.
    """

    backends: tuple[Backend, ...]
    trial: Backend | None = None
    retry_after: float = 0.0
    why: str = ""
    at_last: "Choice | None" = None
    reserve: tuple[Backend, ...] = ()


class Prospect(NamedTuple):
    """One replica as it looks at one moment.

    Attributes:
        backend: which.
        state: as the prober says; None when it says nothing.
        fit: it would be used if its circuit were closed, at least while nobody else would.
        doubted: it is not fit, and only for being suspected to hang: its server answers.
        since: from when it is in that state, in seconds on the monotonic clock; None when the prober says nothing.
        retry_at: when its circuit lets a trial through, same clock; 0 where it is closed.
        trial_ends: until when the trial that runs there is waited for, same clock; 0 where none runs.
        drains: it shuts down, and its circuit is not closed for that reason.
        answers: its last probe was good.
    """

    backend: Backend
    state: State | None
    fit: bool
    doubted: bool
    since: float | None
    retry_at: float
    trial_ends: float
    drains: bool
    answers: bool

    @property
    def closed(self) -> bool:
        """Whether it may be asked without a second thought."""
        return self.fit and not self.retry_at


class Availability:
    """What this process makes of the board, for each request.

    Replicas in rotation with a closed circuit go first; if there are none, those that recover or were never probed;
    if there are none either, all whose circuit is not closed: nobody knows which of them is well again, a success finds
    it out, and no group is taken out by its circuits alone. Nor is one by a suspicion, which never makes an answer
    impossible: if there is nobody at all, those are tried `at_last` that are thought to hang while their servers
    answer. Whoever else is down, or says that it shuts down, is never tried but by a trial, which comes soon where
    nobody else is left.

    While all is well, an answer holds until the board's epoch changes, and no clock is read; otherwise until the next
    moment at which time alone may change it.

    Args:
        board: verdicts and circuits.
        breaker: reads the circuits.
        clock: its monotonic clock must be the same for all processes.
        interval: seconds between two probes of a backend that is well.
    """

    def __init__(self, board: Board, breaker: Breaker, clock: Clock, interval: float) -> None:
        self._board = board
        self._breaker = breaker
        self._clock = clock
        self._patience = patience(interval)
        self._probed_every = min(PROBED_EVERY_SECS, interval)
        self._epoch = board.epoch
        self._seen = -1
        self._well: dict[BackendGroup, Choice] = {}  # for the epoch that was seen
        self._troubled: dict[BackendGroup, tuple[float, Choice]] = {}  # the same, with the moment until which it holds

    def of(self, group: BackendGroup) -> Choice:
        """Whom a request to `group` may try now."""
        if self._epoch() == self._seen:
            choice = self._well.get(group)
            if choice is not None:
                return choice
            kept = self._troubled.get(group)
            if kept is not None and self._clock.monotonic() < kept[0]:
                return kept[1]
        return self._look(group)

    def forget(self) -> None:
        """Other groups are in force: what is remembered of those before would never be asked for again."""
        self._well.clear()
        self._troubled.clear()

    def _look(self, group: BackendGroup) -> Choice:
        epoch = self._epoch()
        fence()  # what is read from here on is of this epoch, or of a later one
        if epoch != self._seen:
            self._seen = epoch
            self._well.clear()
            self._troubled.clear()
        settled = not self._board.unsettled()
        if self._all_well(group):
            choice = Choice(group.in_use)
            if settled:
                self._well[group] = choice
            return choice
        kept = self._choose(group, self._clock.monotonic())
        if settled:
            self._troubled[group] = kept
        return kept[1]

    def _all_well(self, group: BackendGroup) -> bool:
        for backend in group.in_use:
            health = self._board.verdict(backend.name)
            if health is None or health.state not in IN_ROTATION or self._breaker.retry_at(self._at(backend)):
                return False
        return bool(group.in_use)

    def _choose(self, group: BackendGroup, now: float) -> tuple[float, Choice]:
        """The choice, and the moment until which it holds if the epoch stays."""
        out_of_date = self._board.last_beat() + self._patience
        prospects = [self._prospect(backend, silent=now > out_of_date) for backend in group.in_use]
        usable = _usable(prospects)
        if not any(one.closed for one in prospects):
            prospects = [self._hastened(one, now) for one in prospects]
        believed = prospects if usable else [one._replace(fit=one.fit or one.doubted) for one in prospects]
        at_last = usable or _usable(believed)
        for one in prospects:
            asked = bool(one.retry_at) and one.backend in at_last
            self._breaker.ask_anyway(self._at(one.backend), asked=asked)
        moments = [moment for one in prospects for moment in (one.retry_at, one.trial_ends) if moment > now]
        holds = min([*moments, out_of_date if now <= out_of_date else now + self._probed_every])
        trial = _trial(prospects, now)
        if usable:
            return holds, Choice(usable, trial, reserve=_reserve(prospects, usable))
        doubted = Choice(at_last, _trial(believed, now)) if at_last else None
        return now, Choice((), trial, self._retry_after(prospects, now), _why_none(prospects), doubted)

    def _prospect(self, backend: Backend, *, silent: bool) -> Prospect:
        """`silent`: the prober is dead, so that nothing is known but the circuits."""
        index = self._at(backend)
        health = None if silent else self._board.verdict(backend.name)
        return Prospect(
            backend,
            state=None if health is None else health.state,
            fit=health is None or health.state in IN_ROTATION or health.reason in HOPEFUL,
            doubted=health is not None and health.reason is Reason.STALLED,
            since=None if health is None else health.since,
            retry_at=self._breaker.retry_at(index),
            trial_ends=self._breaker.trial_ends(index),
            drains=self._breaker.drains(index),
            answers=health is not None and health.streak > 0,
        )

    def _hastened(self, one: Prospect, now: float) -> Prospect:
        """The same, its trial due soon if it drains as far as requests know, and is well as far as probes know."""
        soon, index = now + DRAINING_TRIAL_SECS, self._at(one.backend)
        if not (one.fit and one.drains and one.answers and one.retry_at > soon):
            return one
        self._breaker.hasten(index, soon)
        return one._replace(retry_at=self._breaker.retry_at(index))

    def _retry_after(self, prospects: list[Prospect], now: float) -> float:
        """Seconds to the next probe or trial that may find one of them usable; longer, the longer none of them is."""
        dues = [max(one.retry_at, one.trial_ends) if one.fit else 0.0 for one in prospects]
        lasts = now - max((one.since for one in prospects if one.since is not None), default=now)
        return max(self._probed_every, min(dues, default=0.0) - now, min(PATIENCE_SHARE * lasts, LONGEST_PATIENCE_SECS))

    def _at(self, backend: Backend) -> int:
        return self._board.index(backend.name)


def _usable(prospects: list[Prospect]) -> tuple[Backend, ...]:
    """The first rank in which there is anybody."""
    closed = [one for one in prospects if one.closed]
    in_rotation = tuple(one.backend for one in closed if one.state in IN_ROTATION)
    if closed:
        return in_rotation or tuple(one.backend for one in closed)
    return tuple(one.backend for one in prospects if one.fit and not one.drains)


def _reserve(prospects: list[Prospect], usable: tuple[Backend, ...]) -> tuple[Backend, ...]:
    """Those that were never probed, if they are not usable already."""
    return tuple(
        one.backend for one in prospects if one.closed and one.state is State.LOADING and one.backend not in usable
    )


def _trial(prospects: list[Prospect], now: float) -> Backend | None:
    """The replica that has waited longest for a trial that nobody has begun."""
    due = [one for one in prospects if one.fit and 0 < one.retry_at <= now and one.trial_ends <= now]
    return min(due, key=_retry_at).backend if due else None


def _why_none(prospects: list[Prospect]) -> State:
    """The most hopeful of the reasons; where there is nobody, all are drained."""
    if any(one.state is State.LOADING for one in prospects):
        return State.LOADING
    return State.DRAINING if not prospects or any(one.fit for one in prospects) else State.DOWN


def _retry_at(prospect: Prospect) -> float:
    return prospect.retry_at
