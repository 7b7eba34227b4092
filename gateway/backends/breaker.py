"""May a request go to this backend? Failures of all workers together open its circuit, and one trial closes it."""

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gateway.backends.board import Board
from gateway.backends.circuit import Change, Standing, Why
from gateway.core.clock import Clock

if TYPE_CHECKING:
    from gateway.backends.breaker_settings import BreakerSettings

JITTER = 0.2
"""A doubled pause is shortened by up to this share, so that replicas that failed together are not tried together."""
EARLIEST = 1e-9
"""A moment that is not 0, which means "closed"."""
HEEDS_SUCCESS = 1
"""Stands for failures where a circuit is not closed, so that `succeeded` sees in one word whether it matters."""
WHYS = tuple(Why)
"""On the board a word stands as its place in here: LAYOUT (board_layout.py) rises with any change of the order."""

_CLOSED, _OPEN, _HALF_OPEN = Standing.CLOSED, Standing.OPEN, Standing.HALF_OPEN


class Breaker:
    """The circuits of a board's backends, by index; every process of the board has one of these.

    Changes are made under the board's lock. Where it is not to be had (its holder was stopped), they are dropped: a
    failure that is not counted harms nobody, and a trial is only ever granted under the lock. What is read without the
    lock is one word that decides, or only saves asking for the lock.

    Reports that come late, from requests that were sent before the circuit opened, change nothing: the trial decides.
    Only where everybody asks a backend whose circuit is open, as its group has nobody else (`ask_anyway`), a success
    brings the trial forward: a late one does no harm there, since the trial is a request that would go there anyway.

    Args:
        board: where the circuits stand.
        settings: when a circuit opens, and for how long.
        clock: its monotonic clock must be the same for all processes.
        on_change: told in the process that makes a change.
        jitter: gives numbers from 0 to 1.
    """

    def __init__(
        self,
        board: Board,
        settings: "BreakerSettings",
        clock: Clock,
        on_change: Callable[[Change], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._board = board
        self._words = board.circuits
        self._failures = board.circuits.failures  # for `succeeded`, which every request calls
        self._light = board.circuits.light
        self._threshold = settings.circuit_failure_threshold
        self._pause = settings.circuit_recovery_timeout
        self._longest = settings.circuit_max_recovery_secs
        self._row_lasts = max(self._pause, self._longest)
        self._clock = clock
        self._on_change = on_change
        self._jitter = jitter
        self._asked_anyway: set[int] = set()

    def standing(self, index: int) -> Standing:
        """What the circuit lets through now; reads the clock only where it is not closed."""
        until = self._words.until[index]
        if not until:
            return _CLOSED
        return _OPEN if self._clock.monotonic() < until else _HALF_OPEN

    def retry_at(self, index: int) -> float:
        """From when a trial may be made, in seconds on the monotonic clock; 0.0 when the circuit is closed."""
        return self._words.until[index]

    def pause(self, index: int) -> float:
        """Seconds of the last pause before jitter, from which the next one is doubled; 0.0: there was none."""
        return self._words.pause[index]

    def trial_ends(self, index: int) -> float:
        """Until when a running trial is waited for, same clock; 0.0 when none runs."""
        return self._words.trial[index]

    def why(self, index: int) -> Why | None:
        """Why the circuit is not closed; None when it is."""
        return WHYS[self._words.why[index]] if self._words.until[index] else None

    def drains(self, index: int) -> bool:
        """Whether the circuit is not closed because the backend said that it shuts down."""
        return self.why(index) is Why.DRAINING

    def take_trial(self, index: int) -> int:
        """The number of the trial of a half-open circuit that the caller's request is; 0: it is none.

        At most one is, over all workers. Whoever is granted it reports with its number to `succeeded`, `failed`,
        `neutral` or `trip`. The trial of one who dies, or takes longer than CIRCUIT_RECOVERY_TIMEOUT, is given to the
        next who asks; then what the first one reports decides nothing.
        """
        now = self._clock.monotonic()
        if not self._trial_is_due(index, now):
            return 0
        with self._board.exclusive() as held:
            if not held or not self._trial_is_due(index, now) or self._board.barred(index, now):
                return 0
            with self._board.changing():
                number = self._board.new_trial()
                self._words.holder[index] = number
                self._words.trial[index] = now + self._pause
        return number

    def succeeded(self, index: int, *, trial: int = 0) -> None:
        """The backend did what it was asked: failures begin anew, and a trial closes the circuit."""
        if trial or self._failures[index]:
            self._update(index, partial(self._trial_succeeded, trial) if trial else self._forget)

    def succeeded_lightly(self, index: int) -> None:
        """It did what needs no engine: failures of such requests begin anew, and nothing else is known."""
        if self._light[index]:
            self._update(index, self._forget_light)

    def failed(self, index: int, *, trial: int = 0, light: bool = False) -> None:
        """The backend failed: too many in a row open the circuit, and a trial opens it again, for longer.

        A row ends with a success, and where no failure follows for as long as a circuit is open at the most: a trial
        would have forgiven it by then. `light`: the request needs no engine, so that the success of one like it takes
        this failure back.
        """
        self._update(index, partial(self._trial_failed, trial) if trial else partial(self._count, light=light))

    def neutral(self, index: int, *, trial: int = 0) -> None:
        """The request ended without a word about the backend: another one may be the trial."""
        if trial:
            self._update(index, partial(self._give_back, trial))

    def trip(self, index: int, why: Why = Why.DRAINING, *, trial: int = 0) -> None:
        """The backend said itself that it takes nothing: open at once, unless a trial says so that decides nothing."""

        def note(index: int, now: float) -> Change | None:
            if trial and self._words.until[index] and not self._decides(index, trial):
                return None
            if now >= self._words.until[index]:
                again = self.why(index) is why
                change = self._open(index, now, why)
                return None if again else change  # one that drains is asked each second whether it still does
            if self.why(index) is not why:  # a pause is not made longer by each request that meets it
                with self._board.changing():
                    self._words.why[index] = WHYS.index(why)
            return None

        self._update(index, note)

    def ask_anyway(self, index: int, *, asked: bool) -> None:
        """Whether requests of this process go there although the circuit may be open."""
        if asked:
            self._asked_anyway.add(index)
        else:
            self._asked_anyway.discard(index)

    def hasten(self, index: int, due: float) -> None:
        """Let an open circuit's trial be due at that moment if it is due later; the doubling ends."""

        def note(index: int, _: float) -> None:
            if self._words.until[index] > due:
                self._bring_forward(index, due)

        self._update(index, note)

    def reset(self, index: int) -> None:
        """The backend is a new process: what its predecessor did is forgotten, and one request goes first."""
        self._update(index, self._begin_anew)

    def adopt(self, index: int, seconds: float, pause: float, why: Why) -> float:
        """Be open as another host has found: when a trial is due, 0.0 if the lock was not to be had."""
        moment = 0.0

        def note(index: int, now: float) -> Change | None:
            nonlocal moment
            before, moment = self._stored(index), max(now + seconds, EARLIEST)
            self._store_open(index, pause, why, moment)
            if before is _OPEN:  # open for longer is no news
                return None
            return Change(self._board.backends[index].name, before, _OPEN, why, seconds, elsewhere=True)

        self._update(index, note)
        return moment

    def shut(self, index: int, expected: float) -> None:
        """Be closed as a trial of another host's went well, if nobody here has changed anything since `expected`."""

        def note(index: int, _: float) -> Change | None:
            return self._close(index)._replace(elsewhere=True) if self._words.until[index] == expected else None

        self._update(index, note)

    def bar(self, index: int, until: float) -> bool:
        """Let no trial begin here until that moment; False: one runs, or the lock was not to be had."""
        with self._board.exclusive() as held:
            free = held and self._words.trial[index] <= self._clock.monotonic()
            if free:
                self._board.bar(index, until)
        return free

    def clear(self, index: int) -> None:
        """Another backend stands in that column: nothing is known of it, and nothing is told."""
        with self._board.exclusive() as held:
            if held and (self._words.until[index] or self._words.failures[index]):
                self._close(index)

    def _update(self, index: int, note: Callable[[int, float], Change | None]) -> None:
        """Run `note` under the lock, if it is to be had, and tell of what it changed afterwards."""
        now = self._clock.monotonic()
        with self._board.exclusive() as held:
            change = note(index, now) if held else None
        if change is not None and self._on_change is not None:
            self._on_change(change)

    # Each outcome, under the lock.

    def _forget(self, index: int, now: float) -> None:
        if not self._words.until[index]:
            self._begin_row(index)
        elif index in self._asked_anyway and self._words.until[index] > now and not self.drains(index):
            self._bring_forward(index, now)

    def _forget_light(self, index: int, _: float) -> None:
        light, self._words.light[index] = self._words.light[index], 0
        self._words.failures[index] = max(0, self._words.failures[index] - light)

    def _begin_row(self, index: int, failures: int = 0) -> None:
        self._words.light[index] = 0
        self._words.failures[index] = failures

    def _count(self, index: int, now: float, *, light: bool = False) -> Change | None:
        if self._words.until[index]:
            return None
        if now - self._words.failed[index] > self._row_lasts:
            self._begin_row(index)
        self._words.failed[index] = now
        self._words.failures[index] += 1
        self._words.light[index] += light
        return self._open(index, now, Why.FAILURES) if self._words.failures[index] >= self._threshold else None

    def _trial_succeeded(self, trial: int, index: int, now: float) -> Change | None:
        if self._decides(index, trial):
            return self._close(index)
        self._forget(index, now)
        return None

    def _trial_failed(self, trial: int, index: int, now: float) -> Change | None:
        decides = self._decides(index, trial)
        return self._open(index, now, Why.TRIAL_FAILED) if decides else self._count(index, now)

    def _give_back(self, trial: int, index: int, _: float) -> None:
        if self._decides(index, trial):
            with self._board.changing():
                self._words.trial[index] = 0.0

    def _bring_forward(self, index: int, due: float) -> None:
        with self._board.changing():
            self._words.pause[index] = 0.0
            self._words.until[index] = max(due, EARLIEST)

    def _open(self, index: int, now: float, why: Why) -> Change:
        before, last = self._stored(index), self._words.pause[index]
        pause = min(2 * last, self._longest) if last else self._pause
        seconds = max(self._pause, pause * (1 - JITTER * self._jitter())) if last else pause
        self._store_open(index, pause, why, now + seconds)
        return Change(self._board.backends[index].name, before, _OPEN, why, seconds)

    def _store_open(self, index: int, pause: float, why: Why, until: float) -> None:
        with self._board.changing():
            self._words.pause[index] = pause
            self._words.why[index] = WHYS.index(why)
            self._begin_row(index, HEEDS_SUCCESS)
            self._words.trial[index] = 0.0
            self._words.until[index] = until

    def _close(self, index: int) -> Change:
        with self._board.changing():
            self._begin_row(index)
            self._words.pause[index] = self._words.trial[index] = 0.0
            self._words.until[index] = 0.0
        return Change(self._board.backends[index].name, _HALF_OPEN, _CLOSED, Why.TRIAL_SUCCEEDED)

    def _begin_anew(self, index: int, now: float) -> Change:
        before = self._stored(index)
        with self._board.changing():
            self._begin_row(index)
            self._words.pause[index] = self._words.trial[index] = 0.0
            self._words.why[index] = WHYS.index(Why.RESTARTED)
            self._words.until[index] = max(now, EARLIEST)
        return Change(self._board.backends[index].name, before, _HALF_OPEN, Why.RESTARTED)

    def _trial_is_due(self, index: int, now: float) -> bool:
        """Whether the circuit is half-open and nobody's trial runs."""
        until = self._words.until[index]
        return bool(until) and until <= now and self._words.trial[index] <= now

    def _decides(self, index: int, trial: int) -> bool:
        """Whether that is the trial that runs, or that nobody took over since it was late."""
        return self._words.trial[index] > 0 and self._words.holder[index] == trial

    def _stored(self, index: int) -> Standing:
        """The standing as the words have it, in which HALF_OPEN begins with a trial."""
        if not self._words.until[index]:
            return _CLOSED
        return _HALF_OPEN if self._words.trial[index] else _OPEN
