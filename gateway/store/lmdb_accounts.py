"""What if there are several workers on one host? Their accounts, in the tree where the limits' other state stands."""

import itertools
from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.store import booking
from gateway.store.accounts import Claim, JournalCounts, OverLimitError, Reservation, Standing, Will, Windows
from gateway.store.desk import Desk
from gateway.store.errors import StoreUnavailableError

BATCH = 32
"""Requests that end are written down together, so many at once or with the next tick: a transaction costs more than
what is written in it, and the loop is to be held up for a fraction of a millisecond."""

FORGOTTEN_TOGETHER = 250
"""Records of the journal that are removed in one transaction: some 0.2 ms, for which workers wait that would decide."""

NS = 1e9


class LmdbAccounts:
    """`Accounts` of one worker among those on a directory."""

    def __init__(self, desk: Desk, clock: Clock, most: int) -> None:
        self._desk = desk
        self._decide = desk.decide
        self._now = clock.monotonic
        self._shelf = booking.AccountShelf(most)
        self._tokens = itertools.count(1)
        self._closings: list[Reservation] = []
        self._epoch = ""

    def open(self) -> None:
        """Begin; the desk is open."""
        self._epoch = self._decide(booking.epoch)

    def close(self) -> None:
        """Write down what has ended; what is still reserved is booked as its will says when the worker parts."""
        self.write()

    async def reserve(self, claims: Sequence[Claim], *, tokens: int, windows: Windows, will: Will) -> Reservation:
        """See `Accounts.reserve`."""
        asked = (next(self._tokens), claims, tokens, windows, will, int(self._now() * NS))
        answer = self._decide(booking.reserve, self._desk.worker, asked, self._shelf)
        if isinstance(answer, OverLimitError) and self._closings:  # what has ended may leave room
            self.write()
            answer = self._decide(booking.reserve, self._desk.worker, asked, self._shelf)
        if isinstance(answer, OverLimitError):
            raise answer
        return answer

    def mirror(
        self,
        claims: Sequence[Claim],
        decided: Sequence[tuple[Windows, Standing]],
        *,
        tokens: int,
        windows: Windows,
        will: Will,
    ) -> Reservation:
        """Take over what the store of several hosts has decided: this one knows the state if that one is away."""
        asked = (next(self._tokens), claims, tokens, windows, will, int(self._now() * NS))
        return self._decide(booking.mirror, self._desk.worker, asked, decided, self._shelf)

    def settle(self, reservation: Reservation, *, requests: int, tokens: int, record: bytes | None) -> None:
        """See `Accounts.settle`."""
        if reservation.settled:
            return
        reservation.settled = True
        reservation.requests, reservation.spent, reservation.record = requests, tokens, record
        self._closings.append(reservation)
        if not len(self._closings) % BATCH:  # what could not be written is not tried again with each
            self.write()

    async def journal(self, most: int) -> list[tuple[bytes, bytes]]:
        """See `Accounts.journal`."""
        return self._decide(booking.journal, most)

    async def forget(self, keys: Sequence[bytes]) -> None:
        """See `Accounts.forget`."""
        for start in range(0, len(keys), FORGOTTEN_TOGETHER):
            self._decide(booking.forget, keys[start : start + FORGOTTEN_TOGETHER])

    async def standing(self, account: str, windows: Windows, organization: str = "") -> Standing:
        """See `Accounts.standing`."""
        del organization
        self.write()
        return self._decide(booking.standing, account, windows, int(self._now() * NS))

    async def restore(
        self, account: str, windows: Windows, day: tuple[int, int], month: tuple[int, int], organization: str = ""
    ) -> None:
        """See `Accounts.restore`."""
        del organization
        self._decide(booking.restore, account, windows, day, month)

    def journal_counts(self) -> JournalCounts:
        """See `Accounts.journal_counts`."""
        return self._decide(booking.journal_counts)

    def epoch(self) -> str:
        """See `Accounts.epoch`."""
        return self._epoch

    def host(self) -> str:
        """See `Accounts.host`."""
        return self._epoch

    @property
    def owes(self) -> bool:
        """Something that has ended is not written down."""
        return bool(self._closings)

    def write(self) -> None:
        """Write down what has ended; what cannot be written is tried again by the next call. Never raises."""
        if not self._closings or self._desk.closed:
            return
        try:
            self._decide(booking.settle, self._desk.worker, self._closings, int(self._now() * NS))
        except StoreUnavailableError as error:
            self._desk.complain("usage_not_booked", error)
        else:
            self._closings = []
