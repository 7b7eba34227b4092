"""How does one worker of several decide? One transaction for each decision, and word to whom it concerns."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar, TypeVarTuple, cast

import lmdb

from gateway.core.clock import Clock
from gateway.core.timings import Timings
from gateway.store import environment, parting, wills
from gateway.store.doorbell import Doorbell
from gateway.store.errors import StoreUnavailableError
from gateway.store.records import Claimant
from gateway.store.slots import Called
from gateway.store.subjects import samples, subject_of
from gateway.store.tally import ANYBODY
from gateway.store.ticks import TICK_SECS
from gateway.store.tree import Environment, Tree
from gateway.store.waiters import Waiters

RECORDS_PER_STEP = 200
"""Records looked at for a dead worker in one transaction: about 1 ms at the worst, so that no loop is held up."""

RETRY_AFTER_SECS = 1.0

log = logging.getLogger(__name__)

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class Desk:
    """One worker among those on a directory: its decisions, those of its requests that wait, and what it owes.

    `timings` hears of one decision in 31, and of all that fail.
    """

    def __init__(self, directory: Path, room: environment.Room, clock: Clock, timings: Timings) -> None:
        self._directory = directory
        self._room = room
        self._clock = clock
        self._timings = timings
        self._is_sample = samples()
        self._waiters = Waiters(clock)
        self.wake = self._waiters.wake
        self._tickets: dict[int, bytes] = {}  # of those who wait here, by token
        self._debts: list[Callable[[Tree], Called]] = []  # what could not be given up yet
        self._told: set[int] = set()  # the workers that heard since the last tick that somebody waits
        self._burying: set[int] = set()
        self._ailing = False
        self.worker = 0
        self.closed = True

    def open(self, on_called_for: Callable[[], None]) -> None:
        """Join the other workers; `on_called_for` is called when somebody waits for slots that this one may keep.

        Raises StoreUnavailableError with a sentence for the operator.
        """
        with environment.entered(self._directory) as alone:
            try:
                self._env = cast("Environment", environment.open_environment(self._directory, self._room, alone=alone))
                self.worker = self.decide(parting.join)
                self.wills = wills.WillBook(self._directory, self.worker)
                self._doorbell = Doorbell(self._directory, self.worker, self._rung)
            except (lmdb.Error, OSError) as error:
                raise StoreUnavailableError(f"LIMITER_PATH {self._directory} cannot be opened: {error}") from error
        self._on_called_for = on_called_for
        self._loop = asyncio.get_running_loop()
        self.closed = False

    def close(self) -> None:
        """Give up all that this worker has and leave; those who wait find the state gone."""
        self.closed = True
        self._waiters.wake_all()
        with environment.entered(self._directory):
            try:
                self.call(self._clear(self.worker))
                self._doorbell.remove(self.worker)
                wills.remove(self._directory, self.worker)
            except StoreUnavailableError:
                log.exception("limits_not_left", extra={"worker": self.worker})
            self._env.close()
            self.wills.close()
            self._doorbell.close()

    def decide(self, decision: Callable[[Tree, *Ts], T], *args: *Ts) -> T:
        """Run one decision as one transaction. Raises StoreUnavailableError, and then nothing is changed.

        Questions too are write transactions, which cost no more: a reader that is stopped would keep every page that
        changes from being used again, and fill the map within a second.
        """
        if next(self._is_sample):
            return self._timed(decision, *args)
        try:
            tree = self._env.begin(None, None, True)  # noqa: FBT003 -- see Environment.begin
            try:
                result = decision(tree, *args)
            except BaseException:
                tree.abort()
                raise
            tree.commit()
        except StoreUnavailableError:
            self._timings.failed(subject_of(decision))
            raise
        except lmdb.Error as error:
            self._timings.failed(subject_of(decision))
            raise unavailable() from error
        else:
            return result

    def _timed(self, decision: Callable[[Tree, *Ts], T], *args: *Ts) -> T:
        """The same, told of to `timings`."""
        began = self._clock.monotonic()
        try:
            return self.decide(decision, *args)  # the next one is no sample
        finally:
            self._timings.took(subject_of(decision), self._clock.monotonic() - began)

    def give_up(self, decision: Callable[[Tree, *Ts], Called], *args: *Ts) -> None:
        """Decide what frees a slot or seat and tell whose it is now; what cannot be written is owed. Never raises."""
        if self.closed:
            return
        try:
            called = self.decide(decision, *args)
        except StoreUnavailableError as error:
            self._debts.append(lambda tree: decision(tree, *args))
            self.complain("slot_not_given_back", error)
            return
        if called:
            self.call(called)

    async def wait(self, token: int, ticket: bytes, patience: float) -> float:
        """Wait until the ticket may be gone, or for `patience` seconds: the seconds waited."""
        self._tickets[token] = ticket
        try:
            return await self._waiters.wait(token, patience)
        finally:
            del self._tickets[token]

    def call(self, called: Sequence[Claimant]) -> None:
        """Wake those who got a slot, wherever they wait, and tell workers that somebody waits, once a tick."""
        elsewhere: defaultdict[int, list[int]] = defaultdict(list)
        for worker, token in called:
            if worker == self.worker:
                self._waiters.wake(token)
            elif token != ANYBODY:
                elsewhere[worker].append(token)
            elif worker not in self._told:
                self._told.add(worker)
                elsewhere[worker].append(token)
        for worker, tokens in elsewhere.items():
            self._doorbell.ring(worker, tokens)

    def call_for(self, workers: Iterable[int]) -> None:
        """Tell workers that somebody waits for what they hold and do not use."""
        for worker in workers:
            self._doorbell.ring(worker, [ANYBODY])

    def complain(self, event: str, error: Exception) -> None:
        """Log the first trouble after a tick without any; it is tried again with the next one."""
        if not self._ailing:
            log.error(event, exc_info=error, extra={"again_in_secs": TICK_SECS})
        self._ailing = True

    def recovered(self, *, still_owes: bool) -> None:
        """A tick went well: the next trouble is logged again, unless something is still owed."""
        self._ailing = still_owes or bool(self._debts)

    def look_after(self) -> None:
        """Pay debts, wake those whose wake-up was lost, and clear away the dead. Raises StoreUnavailableError."""
        self._told.clear()
        debts, self._debts = self._debts, []
        for debt in debts:
            self.give_up(debt)
        self.decide(self._wake_those_who_may_go)
        for worker in self.decide(parting.workers):
            if worker != self.worker and worker not in self._burying and self._doorbell.is_dead(worker):
                self._bury(worker)

    def _rung(self, token: int) -> None:
        """Another worker says that one of this worker's waiters may look, or that somebody waits for a slot."""
        if token == ANYBODY:
            self._on_called_for()
        else:
            self._waiters.wake(token)

    def _wake_those_who_may_go(self, tree: Tree) -> None:
        for token, ticket in self._tickets.items():
            if tree.get(ticket) is None:
                self._waiters.wake(token)

    def _clear(self, worker: int) -> list[Claimant]:
        """Give up all that a worker has, at once: whoever may start now."""
        place: bytes | None = parting.FIRST_PLACE
        called: list[Claimant] = []
        drawn = wills.read(self._directory, worker)
        while place is not None:
            place, some = self.decide(parting.part, worker, place, RECORDS_PER_STEP, drawn)
            called += some
        return called

    def _bury(self, worker: int, place: bytes = parting.FIRST_PLACE) -> None:
        """Give up what a dead worker had, step by step."""
        self._burying.discard(worker)
        try:
            drawn = wills.read(self._directory, worker)
            next_place, called = self.decide(parting.part, worker, place, RECORDS_PER_STEP, drawn)
        except StoreUnavailableError:
            return  # the next tick begins anew; after the close there is none
        self.call(called)
        if next_place is None:
            self._doorbell.remove(worker)
            wills.remove(self._directory, worker)
        else:
            self._burying.add(worker)
            self._loop.call_soon(self._bury, worker, next_place)


def unavailable(message: str = "The gateway cannot count requests at the moment.") -> StoreUnavailableError:
    """What a request is told when it cannot be counted."""
    return StoreUnavailableError(message, retry_after=RETRY_AFTER_SECS)
