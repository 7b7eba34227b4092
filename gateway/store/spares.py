"""Which slots does a worker keep for its next requests? Such as nobody misses: docs/decisions/0055."""

import asyncio

from gateway.store import slots
from gateway.store.desk import Desk
from gateway.store.errors import StoreUnavailableError
from gateway.store.ticks import TICK_SECS, Pause

SPARED_NAMES = 32
"""Names of which a worker keeps slots; all are given back in one transaction: 0.1 ms."""

SPARES_PER_NAME = 16
SPARE_SHARE = 8
"""Slots of one name that a worker keeps at the most, or that part of their limit if it is more: what a worker that is
held up holds back from the others. With fewer, more requests that end in one turn of the loop than that give up
slots for those that begin in it: 35,000 user instructions of a request, 256 at a time."""


class Spares(dict[bytes, int]):
    """How many slots of each name this worker has that nobody uses; the record counts them as taken."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._pause = Pause()  # since somebody waited in any worker
        self._waited_for_since = 0.0  # the loop's time at which that began

    def keep(self, name: bytes, limit: int) -> bool:
        """Keep one of so many slots that was given with room, or say that it must be given up."""
        kept = self.get(name, 0)
        if (kept >= SPARES_PER_NAME and kept * SPARE_SHARE >= limit) or self._pause.ticks:
            return False
        self[name] = kept + 1
        if len(self) > SPARED_NAMES:
            self.give_back()
        return True

    def take_over(self, name: bytes, limit: int) -> bool:
        """Have one that was kept, if nobody has a better right to it; otherwise none is kept any more."""
        if not self._desk.decide(slots.may_take_over, name, limit):
            self.give_back()
            return False
        left = self.pop(name) - 1
        if left:
            self[name] = left
        return True

    def give_back(self) -> None:
        """Give up all; what cannot be written now is kept until the next tick."""
        if not self:
            return
        try:
            called = self._desk.decide(slots.leave_all, self._desk.worker, self)
        except StoreUnavailableError as error:
            self._desk.complain("spare_slots_not_given_back", error)
            return
        self.clear()
        self._desk.call(called)

    def hear_of_waiters(self) -> None:
        """Somebody waits, in whatever worker: no slot is kept for a while."""
        if not self._pause.ticks:
            self._waited_for_since = asyncio.get_running_loop().time()
        self._pause.begin()

    def others_may_keep_some(self) -> bool:
        """Has the wait begun so lately that other workers may not have given back what they kept?"""
        self.hear_of_waiters()
        return asyncio.get_running_loop().time() - self._waited_for_since < TICK_SECS

    def called_for(self) -> None:
        """Somebody waits and says so."""
        self.hear_of_waiters()
        self.give_back()

    def tick(self) -> None:
        """One tick without spares less is still to come."""
        self._pause.tick()

    def close(self) -> None:
        """Keep nothing from now on; what is kept is given up with all that the worker has."""
        self._pause.last()
        self.clear()
