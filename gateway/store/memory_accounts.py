"""What if there is one worker? The accounts in its own memory."""

import itertools
import os
from collections import OrderedDict
from collections.abc import Sequence

from gateway.core.clock import Clock
from gateway.store import account as arithmetic
from gateway.store.account import DAY, MONTH, NOTHING, State
from gateway.store.accounts import Claim, JournalCounts, Reservation, Standing, Will, Windows
from gateway.store.records import JOURNAL, NUMBER
from gateway.store.settings import EVICTION_SAMPLE

NS = 1e9


class MemoryAccounts:
    """`Accounts` for one process, of which nothing outlives it."""

    def __init__(self, clock: Clock, most: int, journal_bytes: int) -> None:
        self._clock = clock
        self._most = most
        self._accounts: OrderedDict[str, State] = OrderedDict()  # least recently used first
        self._journal: dict[bytes, bytes] = {}
        self._most_bytes = journal_bytes
        self._size = self._lost = 0
        self._tokens = itertools.count(1)
        self._epoch = os.urandom(8).hex()

    async def reserve(self, claims: Sequence[Claim], *, tokens: int, windows: Windows, will: Will) -> Reservation:
        """See `Accounts.reserve`; nobody reads a will here."""
        del will
        now = self._now()
        states = [list(self._accounts.get(name, NOTHING)) for name, _ in claims]
        for (_, limits), state in zip(claims, states, strict=True):
            if not arithmetic.charge(state, limits, tokens, windows, now):
                known = [list(self._accounts.get(name, NOTHING)) for name, _ in claims]
                raise arithmetic.over_limit(known, claims, tokens, windows, now)
        for (name, _), state in zip(claims, states, strict=True):
            self._accounts[name] = state
            self._accounts.move_to_end(name)
        self._evict(windows, now)
        counted = [Windows(state[DAY], state[MONTH]) for state in states]
        standings = [arithmetic.standing(state, now) for state in states]
        return Reservation(next(self._tokens), claims, tokens, counted, standings)

    def settle(self, reservation: Reservation, *, requests: int, tokens: int, record: bytes | None) -> None:
        """See `Accounts.settle`."""
        if reservation.settled:
            return
        reservation.settled = True
        reserved = reservation.tokens
        for (name, limits), windows in zip(reservation.claims, reservation.windows, strict=True):
            state = self._accounts.setdefault(name, arithmetic.forgotten(windows, reserved))
            arithmetic.settle(state, windows, limits, tokens - reserved, requests, self._now())
        if record is None:
            return
        key = JOURNAL + NUMBER.pack(reservation.token)
        size = len(key) + len(record)
        if self._size + size > self._most_bytes:
            self._lost += 1
        else:
            self._size += size
            self._journal[key] = record

    async def journal(self, most: int) -> list[tuple[bytes, bytes]]:
        """See `Accounts.journal`."""
        return list(itertools.islice(self._journal.items(), most))

    async def forget(self, keys: Sequence[bytes]) -> None:
        """See `Accounts.forget`."""
        for key in keys:
            record = self._journal.pop(key, None)
            if record is not None:
                self._size -= len(key) + len(record)

    async def standing(self, account: str, windows: Windows) -> Standing:
        """See `Accounts.standing`."""
        state = list(self._accounts.get(account, NOTHING))
        arithmetic.turn(state, windows)
        return arithmetic.standing(state, self._now())

    async def restore(self, account: str, windows: Windows, day: tuple[int, int], month: tuple[int, int]) -> None:
        """See `Accounts.restore`."""
        arithmetic.restore(self._accounts.setdefault(account, list(NOTHING)), windows, day, month)

    def journal_counts(self) -> JournalCounts:
        """See `Accounts.journal_counts`."""
        return JournalCounts(len(self._journal), self._size, self._lost)

    def epoch(self) -> str:
        """See `Accounts.epoch`."""
        return self._epoch

    def _now(self) -> int:
        return int(self._clock.monotonic() * NS)

    def _evict(self, windows: Windows, now: int) -> None:
        """Forget others where there are too many; the least recently used are looked at."""
        if len(self._accounts) > self._most:
            sample = itertools.islice(self._accounts.items(), EVICTION_SAMPLE)
            for name in arithmetic.choose_victims(sample, windows, now):
                del self._accounts[name]
