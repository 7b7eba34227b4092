"""What if there is one worker? The accounts in its own memory."""

import heapq
import itertools
import os
from collections import OrderedDict
from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.core.usage_sheet import Sheet, encode_sheet
from gateway.store import account as arithmetic
from gateway.store.account import NO_RECORD, RECORD, State
from gateway.store.accounts import Claim, JournalCounts, Reservation, Standing, Will, Windows
from gateway.store.choices import EVICTION_SAMPLE
from gateway.store.records import JOURNAL, NUMBER

NS = 1e9


class MemoryAccounts:
    """`Accounts` for one process, of which nothing outlives it."""

    def __init__(self, clock: Clock, most: int, journal_bytes: int) -> None:
        self._clock = clock
        self.wall = clock.wall
        self._most = most
        self._accounts: OrderedDict[str, bytes] = OrderedDict()  # least recently used first
        self._journal: dict[bytes, Sheet] = {}
        self._most_bytes = journal_bytes
        self._size = self._lost = 0
        self._tokens = itertools.count(1)
        self._epoch = os.urandom(8).hex()

    async def reserve(self, claims: Sequence[Claim], *, tokens: int, windows: Windows, will: Will) -> Reservation:
        """See `Accounts.reserve`; nobody reads a will here."""
        del will
        now = self._now()
        charged = []
        for name, limits in claims:
            one = arithmetic.charge(self._accounts.get(name), limits, tokens, windows, now)
            if one is None:
                states = [self._state(name) for name, _ in claims]
                raise arithmetic.over_limit(states, claims, tokens, windows, now)
            charged.append(one)
        for (name, _), (record, _, _) in zip(claims, charged, strict=True):
            self._accounts[name] = record
            self._accounts.move_to_end(name)
        self._evict(windows, now)
        counted, standings = [one[1] for one in charged], [one[2] for one in charged]
        return Reservation(next(self._tokens), claims, tokens, counted, standings)

    def lent(self, claims: Sequence[Claim], windows: Windows) -> None:
        """See `Accounts.lent`: asking costs no more here."""

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
        del will
        self.learn(claims, decided, windows)
        counted, standings = [counts_in for counts_in, _ in decided], [at for _, at in decided]
        return Reservation(next(self._tokens), claims, tokens, counted, standings)

    def learn(self, claims: Sequence[Claim], decided: Sequence[tuple[Windows, Standing]], windows: Windows) -> None:
        """Take over how the store of several hosts says that accounts stand, where it grants nothing."""
        now = self._now()
        for (name, _), (counts_in, at) in zip(claims, decided, strict=True):
            self._accounts[name] = RECORD.pack(*arithmetic.state_of(at, counts_in, now))
            self._accounts.move_to_end(name)
        self._evict(windows, now)

    def settle(self, reservation: Reservation, *, requests: int, tokens: int, record: bytes | None) -> None:
        """See `Accounts.settle`."""
        if reservation.settled:
            return
        reservation.settled = True
        reserved = reservation.tokens
        for (name, limits), windows in zip(reservation.claims, reservation.windows, strict=True):
            state = self._state(name) if name in self._accounts else arithmetic.forgotten(windows, 1, reserved)
            arithmetic.settle(state, windows, limits, tokens - reserved, 1 - requests, self._now())
            self._accounts[name] = RECORD.pack(*state)
        if record is None:
            return
        sheet = Sheet(JOURNAL + NUMBER.pack(reservation.token), encode_sheet([record]))
        size = len(sheet.key) + len(sheet.content)
        if self._size + size > self._most_bytes:
            self._lost += 1
        else:
            self._size += size
            self._journal[sheet.key] = sheet

    async def journal(self, most: int) -> list[Sheet]:
        """See `Accounts.journal`."""
        return list(itertools.islice(self._journal.values(), most))

    async def forget(self, keys: Sequence[bytes]) -> None:
        """See `Accounts.forget`."""
        for key in keys:
            sheet = self._journal.pop(key, None)
            if sheet is not None:
                self._size -= len(key) + len(sheet.content)

    async def standing(self, account: str, windows: Windows) -> Standing:
        """See `Accounts.standing`."""
        state = self._state(account)
        arithmetic.turn(state, windows)
        return arithmetic.standing(state, self._now())

    async def restore(self, account: str, windows: Windows, day: tuple[int, int], month: tuple[int, int]) -> None:
        """See `Accounts.restore`."""
        state = self._state(account)
        arithmetic.restore(state, windows, day, month)
        self._accounts[account] = RECORD.pack(*state)

    async def page(self, after: str, most: int, windows: Windows) -> list[tuple[str, Standing]]:
        """See `Accounts.page`."""
        names = heapq.nsmallest(most, (name for name in self._accounts if name > after))
        return [(name, await self.standing(name, windows)) for name in names]

    def journal_counts(self) -> JournalCounts:
        """See `Accounts.journal_counts`."""
        return JournalCounts(len(self._journal), self._size, self._lost)

    def epoch(self) -> str:
        """See `Accounts.epoch`."""
        return self._epoch

    def host(self) -> str:
        """See `Accounts.host`."""
        return self._epoch

    def _state(self, name: str) -> State:
        return list(RECORD.unpack(self._accounts.get(name, NO_RECORD)))

    def _now(self) -> int:
        return int(self._clock.monotonic() * NS)

    def _evict(self, windows: Windows, now: int) -> None:
        """Forget others where there are too many; the least recently used are looked at."""
        if len(self._accounts) > self._most:
            sample = [(name, self._state(name)) for name in itertools.islice(self._accounts, EVICTION_SAMPLE)]
            for name in arithmetic.choose_victims(sample, windows, now):
                del self._accounts[name]
