"""What if there are several workers on one host? Their accounts, in the tree where the limits' other state stands."""

import itertools
from collections.abc import Callable, Iterable, Sequence

from gateway.core.clock import Clock
from gateway.core.usage_sheet import Sheet
from gateway.store import booking, holdings, journal, shelf
from gateway.store.accounts import Claim, JournalCounts, OverLimitError, Reservation, Standing, Will, Windows
from gateway.store.desk import Desk
from gateway.store.errors import StoreUnavailableError
from gateway.store.ticks import LOOKS, TICK_SECS, Pause
from gateway.store.tranche import Drawn, Tranche
from gateway.store.tree import Tree

BATCH = 32
"""Requests that end are written down together, so many at once or with the next tick: a transaction costs more than
what is written in it, and the loop is to be held up for a fraction of a millisecond."""

FORGOTTEN_TOGETHER = 100
"""Sheets of the journal that are removed in one transaction: some 0.2 ms, for which workers wait that would decide."""

MOST_TRANCHES = 32
"""That a worker holds; one more, and all are given back in one transaction."""

NS = 1e9


class LmdbAccounts:
    """`Accounts` of one worker among those on a directory."""

    def __init__(self, desk: Desk, clock: Clock, most: int) -> None:
        self._desk = desk
        self._decide = desk.decide
        self._clock = clock
        self._now = clock.monotonic
        self.wall = clock.wall
        self._shelf = shelf.AccountShelf(most)
        self._tokens = itertools.count(1)
        self._closings: list[Reservation] = []
        self._tranches: dict[str, Tranche] = {}  # by the last account of their claims
        self._far: dict[str, bool] = {}  # asked since the last tick; False: too near to its limits for a tranche
        self._pause = Pause()  # since another worker needed one
        self._epoch = ""

    def open(self) -> None:
        """Begin; the desk is open."""
        self._epoch = self._decide(booking.epoch)

    def close(self) -> None:
        """Write down what has ended; what is still reserved is booked as its will says when the worker parts."""
        self.write()

    async def reserve(self, claims: Sequence[Claim], *, tokens: int, windows: Windows, will: Will) -> Reservation:
        """See `Accounts.reserve`; out of a tranche that this worker holds, or else by a transaction."""
        name = claims[-1][0]
        tranche = self.lent(claims, windows)
        if tranche is not None and (drawn := tranche.draw(tokens, will.tokens, will.record)):
            return drawn
        tranche = self._begin_tranche(claims, tokens, windows, will) if name in self._far else None
        if tranche is not None and (drawn := tranche.draw(tokens, will.tokens, will.record)):
            return drawn
        self._far.setdefault(name, True)
        asked = (next(self._tokens), claims, tokens, windows, will, int(self._now() * NS))
        answer = self._decide(booking.reserve, self._desk.worker, asked, self._shelf)
        if isinstance(answer, OverLimitError):
            return await self._insist(asked, answer)
        return answer

    def lent(self, claims: Sequence[Claim], windows: Windows) -> Tranche | None:
        """See `Accounts.lent`."""
        tranche = self._tranches.get(claims[-1][0])
        return tranche if tranche is not None and tranche.asked == windows and tranche.claims == claims else None

    def _begin_tranche(self, claims: Sequence[Claim], tokens: int, windows: Windows, will: Will) -> Tranche | None:
        """Another tranche for such requests, where their accounts are far from their limits and nobody calls for it."""
        name = claims[-1].account
        if not self._far[name] or self._pause.ticks:
            return None
        if name in self._tranches or len(self._tranches) >= MOST_TRANCHES:
            self.write()
            if self._tranches:
                return None  # what cannot be written stays
        asked = (next(self._tokens), claims, tokens, windows, will, int(self._now() * NS))
        tranche = self._decide(holdings.hand_out, self._desk.worker, asked, self._shelf)
        if tranche is None:
            self._far[name] = False
        else:
            tranche.book, tranche.numbers = self._desk.wills, self._tokens
            self._tranches[name] = tranche
        return tranche

    async def _insist(self, asked: holdings.Asked, answer: OverLimitError) -> Reservation:
        """Ask again once nothing is held back: what has ended here, and what workers hold of tranches."""
        for _ in range(LOOKS):
            if self._closings or self._tranches:
                self.write()
            elif others := self._decide(holdings.holders, asked[1]):
                self._desk.call_for(others)
                await self._clock.sleep(TICK_SECS)
            else:
                break
            again = self._decide(booking.reserve, self._desk.worker, asked, self._shelf)
            if not isinstance(again, OverLimitError):
                return again
            answer = again
        raise answer

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

    def learn(self, claims: Sequence[Claim], decided: Sequence[tuple[Windows, Standing]], windows: Windows) -> None:
        """Take over how the store of several hosts says that accounts stand, where it grants nothing."""
        self.write()  # what has ended here is in its figures already
        self._decide(shelf.learn, claims, decided, (windows, int(self._now() * NS)), self._shelf)

    def settle(self, reservation: Reservation, *, requests: int, tokens: int, record: bytes | None) -> None:
        """See `Accounts.settle`."""
        if reservation.settled:
            return
        reservation.settled = True
        reservation.requests, reservation.spent, reservation.record = requests, tokens, record
        if isinstance(reservation, Drawn) and (tranche := reservation.tranche) is not None:
            del tranche.running[reservation.token]
            if not requests:
                tranche.requests += 1
            tranche.tokens += reservation.tokens - tokens  # what it did not take is the next one's
            if record is None:
                tranche.book.settle(((reservation.place, requests, tokens),))
                return
        closings = self._closings
        closings.append(reservation)
        if not len(closings) % BATCH:  # what could not be written is not tried again with each
            self._write_down()

    async def journal(self, most: int) -> list[Sheet]:
        """See `Accounts.journal`."""
        return self._decide(journal.first, most)

    async def forget(self, keys: Sequence[bytes]) -> None:
        """See `Accounts.forget`."""
        for start in range(0, len(keys), FORGOTTEN_TOGETHER):
            self._decide(journal.forget, keys[start : start + FORGOTTEN_TOGETHER])

    async def standing(self, account: str, windows: Windows) -> Standing:
        """See `Accounts.standing`."""
        self.write()
        return self._decide(booking.standing, account, windows, int(self._now() * NS))

    async def restore(self, account: str, windows: Windows, day: tuple[int, int], month: tuple[int, int]) -> None:
        """See `Accounts.restore`."""
        self._decide(shelf.restore, account, windows, day, month)

    async def page(self, after: str, most: int, windows: Windows) -> list[tuple[str, Standing]]:
        """See `Accounts.page`."""
        behind = after.encode("utf-8", "surrogateescape")
        found = self._decide(shelf.page, behind, most, windows, int(self._now() * NS))
        return [(name.decode("utf-8", "surrogateescape"), standing) for name, standing in found]

    def journal_counts(self) -> JournalCounts:
        """See `Accounts.journal_counts`."""
        return self._decide(journal.journal_counts)

    def epoch(self) -> str:
        """See `Accounts.epoch`."""
        return self._epoch

    def host(self) -> str:
        """See `Accounts.host`."""
        return self._epoch

    @property
    def owes(self) -> bool:
        """Something that has ended is not written down."""
        return bool(self._closings or self._tranches)

    def tick(self) -> None:
        """Write down what has ended, and give back what is held and not used."""
        self._pause.tick()
        self._far.clear()
        self.write()

    def called_for(self) -> None:
        """Somebody needs what this worker holds."""
        self._pause.begin()
        self.write()

    def write(self) -> None:
        """Write down what has ended and give back what is held; the next call tries again what fails. Never raises."""
        tranches = self._tranches.values()
        if not (self._closings or tranches) or not self._written(booking.end_tranches):
            return
        for tranche in tranches:
            tranche.requests = 0  # whoever still knows it draws no more
            for drawn in tranche.running.values():
                drawn.tranche = None
            tranche.running.clear()
        self._tranches.clear()
        self._desk.wills.clear()

    def _write_down(self) -> None:
        """Write down what has ended; tranches go on."""
        closings = self._closings
        if not self._written(booking.settle):
            return
        self._desk.wills.settle(
            (one.place, one.requests, one.spent)
            for one in closings
            if isinstance(one, Drawn) and one.tranche is not None
        )

    def _written(self, how: Callable[[Tree, int, booking.Closings, Iterable[Tranche], int], None]) -> bool:
        """Whether what has ended is written down in that way."""
        if self._desk.closed:
            return False
        try:
            self._decide(how, self._desk.worker, self._closings, self._tranches.values(), int(self._now() * NS))
        except StoreUnavailableError as error:
            self._desk.complain("usage_not_booked", error)
            return False
        self._closings = []
        return True
