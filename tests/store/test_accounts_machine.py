"""Whatever happens to accounts, in whatever order: what they count is what was settled and what is reserved.

Requests are reserved, refused, settled, settled again; workers crash and others come; days pass, clocks step back;
earlier use is restored; records are taken away. Never is more running and used than a limit allows, where nobody takes
more than was reserved, and the journal holds every request that ran exactly once.
"""

import asyncio
import contextlib
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import SecretStr

from gateway.core.principal import AccountLimits
from gateway.store import environment
from gateway.store.accounts import Accounts, Claim, OverLimitError, Reservation, Will, Windows
from gateway.store.choices import StoreKind
from gateway.store.lmdb import LmdbStore
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings, default_path
from gateway.store.valkey.scripts import LAYOUT
from gateway.store.valkey.store import ValkeyStore
from tests.store.conftest import HandClock, tell_time_by
from tests.store.host import Host
from tests.store.valkey.server import Server, running

LIMITS = AccountLimits(requests_per_day=12, tokens_per_day=1000, requests_per_month=30, tokens_per_month=2500)
CLAIMS = {name: Claim(name, LIMITS) for name in ("org:a", "ip:b", "ip:c", "key:1", "key:2")}
WORKERS = 3
DAYS_OF_MONTH = 4
WILL = 5

T = TypeVar("T")
numbers = st.integers(0, 20)
asked = st.sampled_from((("org:a",), ("ip:b",), ("org:a", "key:1"), ("ip:b", "key:2"), ("ip:c", "key:2")))
"""The second key has no organization."""


@dataclass
class Running:
    """A request at one of the workers."""

    accounts: Accounts
    reservation: Reservation
    names: tuple[str, ...]
    record: bytes
    window: Windows


@dataclass
class Counted:
    """What an account counts, settled requests and running ones apart."""

    requests: int = 0
    tokens: int = 0


class AccountsMachine(RuleBasedStateMachine):
    """The promises, for any store: a model that adds up."""

    workers: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self.loop = uvloop.new_event_loop()
        self.clock = HandClock()
        self.day = 100
        self.number = 0
        self.running: list[Running] = []
        self.settled: dict[tuple[str, str, int], Counted] = {}
        self.restored: set[tuple[str, str, int]] = set()
        self.booked: set[bytes] = set()
        self.taken: list[bytes] = []

    def do(self, work: Awaitable[T]) -> T:
        async def done() -> T:
            async with asyncio.timeout(10):
                return await work

        return self.loop.run_until_complete(done())

    @property
    def windows(self) -> Windows:
        return Windows(self.day, self.day // DAYS_OF_MONTH)

    def of(self, name: str, kind: str, window: int) -> Counted:
        return self.settled.setdefault((name, kind, window), Counted())

    def accounts(self, number: int) -> Accounts:
        accounts: Accounts = self.workers[number % len(self.workers)].accounts
        return accounts

    def expected(self, name: str) -> tuple[int, int, int, int]:
        """Requests and tokens of the day and of the month: what was settled, and what is reserved."""
        sums = []
        for at, (kind, window) in enumerate((("day", self.windows.day), ("month", self.windows.month))):
            mine = [one for one in self.running if name in one.names and one.window[at] == window]
            counted = self.of(name, kind, window)
            sums += [counted.requests + len(mine), counted.tokens + sum(one.reservation.tokens for one in mine)]
        return sums[0], sums[1], sums[2], sums[3]

    # Rules

    @rule(names=asked, tokens=st.sampled_from((0, 10, 90, 400)), number=numbers)
    def reserve(self, names: tuple[str, ...], tokens: int, number: int) -> None:
        self.number += 1
        record = b"request %d" % self.number
        accounts = self.accounts(number)
        claims = tuple(CLAIMS[name] for name in names)
        fits = all(
            requests < LIMITS.requests_per_day
            and used + tokens <= LIMITS.tokens_per_day
            and monthly < LIMITS.requests_per_month
            and used_monthly + tokens <= LIMITS.tokens_per_month
            for requests, used, monthly, used_monthly in map(self.expected, names)
        )
        try:
            will = Will(min(WILL, tokens), record)
            reservation = self.do(accounts.reserve(claims, tokens=tokens, windows=self.windows, will=will))
        except OverLimitError:
            assert not fits
        else:
            assert fits
            self.running.append(Running(accounts, reservation, names, record, self.windows))

    @precondition(lambda self: self.running)
    @rule(number=numbers, share=st.sampled_from((0.0, 0.5, 1.0)), times=st.integers(1, 2), ran=st.booleans())
    def settle(self, number: int, share: float, times: int, *, ran: bool) -> None:
        one = self.running.pop(number % len(self.running))
        tokens = int(one.reservation.tokens * share) if ran else 0

        async def close() -> None:
            for _ in range(times):
                record = one.record if ran else None
                one.accounts.settle(one.reservation, requests=int(ran), tokens=tokens, record=record)
            await one.accounts.standing(one.names[0], self.windows)  # which writes down what has ended

        self.do(close())
        if ran:
            self.book(one, tokens)

    @rule(number=numbers)
    def crash(self, number: int) -> None:
        """End a worker without a word; another comes in its stead."""
        store = self.workers[number % len(self.workers)]
        mine = [one for one in self.running if one.accounts is store.accounts]
        self.running = [one for one in self.running if one.accounts is not store.accounts]
        if self.do(self.replace(store)):
            for one in mine:
                self.book(one, min(WILL, one.reservation.tokens))
        else:
            self.settled.clear()
            self.restored.clear()
            self.booked.clear()
            self.taken.clear()

    @rule(days=st.sampled_from((1, 1, 2, 5)))
    def pass_days(self, days: int) -> None:
        self.day += days

    @rule(name=st.sampled_from(sorted(CLAIMS)), number=numbers)
    def step_back(self, name: str, number: int) -> None:
        """A worker whose clock is behind by a day asks: it counts in the day that has begun."""
        self.do(self.accounts(0).restore(name, self.windows, (0, 0), (0, 0)))
        self.restored |= {(name, "day", self.windows.day), (name, "month", self.windows.month)}
        late = Windows(self.day - 1, self.windows.month)
        standing = self.do(self.accounts(number).standing(name, late))
        assert standing.day_tokens == self.expected(name)[1]

    @rule(name=st.sampled_from(sorted(CLAIMS)), number=numbers)
    def restore(self, name: str, number: int) -> None:
        self.add_earlier(name, number)

    def add_earlier(self, name: str, number: int) -> None:
        """An earlier epoch's use, which counts once."""
        self.do(self.accounts(number).restore(name, self.windows, (1, 30), (2, 60)))
        for kind, window, requests, tokens in (("day", self.day, 1, 30), ("month", self.windows.month, 2, 60)):
            if (name, kind, window) not in self.restored:
                self.restored.add((name, kind, window))
                counted = self.of(name, kind, window)
                counted.requests += requests
                counted.tokens += tokens

    @rule(number=numbers, most=st.integers(1, 4))
    def take_away(self, number: int, most: int) -> None:
        accounts = self.accounts(number)
        entries = self.do(accounts.journal(most))
        self.taken += [record for sheet in entries for record in sheet.records()]
        self.do(accounts.forget([sheet.key for sheet in entries]))

    # What holds at all times

    @invariant()
    def accounts_add_up(self) -> None:
        for name in CLAIMS:
            at = self.do(self.accounts(self.number).standing(name, self.windows))
            assert (at.day_requests, at.day_tokens, at.month_requests, at.month_tokens) == self.expected(name)

    @invariant()
    def every_request_that_ran_is_in_the_journal_once(self) -> None:
        sheets = self.do(self.accounts(self.number).journal(10_000))
        left = [record for sheet in sheets for record in sheet.records()]
        assert sorted(left + self.taken) == sorted(self.booked)
        assert self.accounts(0).journal_counts().records == len(left)

    # What the rules share

    def book(self, one: Running, tokens: int) -> None:
        self.booked.add(one.record)
        for name in one.names:
            for kind, window in zip(("day", "month"), one.window, strict=True):
                counted = self.of(name, kind, window)
                counted.requests += 1
                counted.tokens += tokens

    @abstractmethod
    async def replace(self, store: Any) -> bool:
        """A worker has crashed; another comes in its place. Whether anything is left of it."""

    @abstractmethod
    async def close(self) -> None:
        """All workers end."""

    def teardown(self) -> None:
        try:
            self.do(self.close())
        finally:
            self.loop.close()


class MemoryMachine(AccountsMachine):
    """One worker, whose memory ends with it."""

    @initialize()
    def open(self) -> None:
        self.workers = [MemoryStore(StoreSettings(limiter_store=StoreKind.MEMORY), self.clock)]

    async def replace(self, store: Any) -> bool:
        del store
        self.open()
        return False

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()


class LmdbMachine(AccountsMachine):
    """Three workers on one directory, whoever of them dies."""

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gw-", dir=default_path().parent))
        self.host = Host(self.directory, self.clock)
        self.workers = self.host.workers
        for _ in range(WORKERS):
            self.do(self.host.open_worker())

    async def replace(self, store: Any) -> bool:
        self.host.crash(store)
        for _ in range(2):
            self.host.look_round()
            await asyncio.sleep(0)  # noqa: TID251 -- one turn of the loop, in which the dead are buried
        await self.host.open_worker()
        return True

    async def close(self) -> None:
        await self.host.close()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)


class TrancheMachine(LmdbMachine):
    """The same, where workers hold all that is left of an account: nobody is refused for it, and nothing is lost."""

    @initialize()
    def open(self) -> None:
        super().open()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("gateway.store.account.SHARES", 1)
        self.patch.setattr("gateway.store.lmdb_accounts.TICK_SECS", 0.001)

    @rule()
    def tick(self) -> None:
        self.host.look_round()

    @rule(name=st.sampled_from(sorted(CLAIMS)), number=numbers)
    def step_back(self, name: str, number: int) -> None:
        self.host.look_round()
        self.do(self.accounts(0).restore(name, self.windows, (0, 0), (0, 0)))
        self.restored |= {(name, "day", self.windows.day), (name, "month", self.windows.month)}
        standing = self.do(self.accounts(number).standing(name, Windows(self.day - 1, self.windows.month)))
        assert standing.day_tokens == self.expected(name)[1]

    @rule(name=st.sampled_from(sorted(CLAIMS)), number=numbers)
    def restore(self, name: str, number: int) -> None:
        """What is held was given out before: nobody is refused for what is added behind that."""
        self.host.look_round()
        self.add_earlier(name, number)

    @invariant()
    def accounts_add_up(self) -> None:
        """They do when all have given back what they hold; a tick does that."""

    @rule()
    def add_up(self) -> None:
        self.host.look_round()
        super().accounts_add_up()

    async def close(self) -> None:
        self.patch.undo()
        await super().close()


class ValkeyMachine(AccountsMachine):
    """Three workers of a host that has a server; they beat when they are told to."""

    server: ClassVar[Server]

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gw-", dir=default_path().parent))
        self.patch = pytest.MonkeyPatch()
        tell_time_by(self.clock, self.server, self.patch)
        self.patch.setattr("gateway.store.valkey.store.SETTLE_SECS", 0)  # one after the other joins again at once
        self.patch.setattr("gateway.store.valkey.store.RESTORE_SECS", 0)  # what is restored is asked for after it
        self.host = Host(self.directory, self.clock)
        self.patch.setattr(environment, "open_environment", self.host.share)
        self.workers = []
        for _ in range(WORKERS):
            self.do(self.open_worker())

    async def open_worker(self) -> None:
        settings = StoreSettings(
            limiter_path=self.directory,
            redis_url=SecretStr(self.server.url),
            redis_timeout_ms=1000,
            max_tracked_organizations=100,
            journal_bytes=2**18,
        )
        local = LmdbStore(settings, self.clock)
        worker = ValkeyStore(settings, self.clock, local)
        await worker.open()
        worker._living.cancel()
        local._timer.cancel()
        self.host.workers.append(local)
        self.workers.append(worker)

    @rule(number=numbers)
    def beat(self, number: int) -> None:
        """A quarter of a second passes for one of them."""
        self.do(self.workers[number % len(self.workers)]._beat())

    @rule()
    def flush(self) -> None:
        """The server loses all, and each worker beats: what runs counts, what has ended is the ledger's to add.

        Twice: with the first it joins anew, with the second the time is over in which it goes by what it knew last.
        """
        for key in self.server.ask("KEYS", LAYOUT + b"*"):
            self.server.ask("DEL", key)
        for worker in self.workers * 2:
            self.do(worker._beat())
        assert len({worker.accounts.epoch() for worker in self.workers}) == 1
        self.settled.clear()
        self.restored.clear()

    @rule(number=numbers)
    def lose(self, number: int) -> None:
        """A connection is lost; what ends and begins before it is made anew is added then."""
        worker = self.workers[number % len(self.workers)]
        mine = [one for one in self.running if one.accounts is worker.accounts]
        self.number += 1
        late = b"request %d" % self.number
        claims = (Claim("ip:b", AccountLimits()), Claim("key:2", AccountLimits()))

        async def outage() -> Reservation:
            worker._session.close()
            assert worker.degraded
            for one in mine[:1]:
                one.accounts.settle(one.reservation, requests=1, tokens=one.reservation.tokens, record=one.record)
            begun: Reservation = await worker.accounts.reserve(
                claims, tokens=0, windows=self.windows, will=Will(0, late)
            )
            await worker._join(settle=False)
            await worker.accounts.standing("org:a", self.windows)
            return begun

        begun = self.do(outage())
        self.running.append(Running(worker.accounts, begun, ("ip:b", "key:2"), late, self.windows))
        for one in mine[:1]:
            self.running.remove(one)
            self.book(one, one.reservation.tokens)

    async def replace(self, store: Any) -> bool:
        self.workers.remove(store)
        store._closed = True
        store._session.close()
        store._home._socket.close()
        store._home._probe.close()
        self.host.crash(store._host.store)
        for _ in range(2):
            self.host.look_round()
            await asyncio.sleep(0)  # noqa: TID251 -- one turn of the loop, in which the dead are buried
        await self.workers[0]._beat()
        await self.open_worker()
        return True

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()
        self.patch.undo()
        await self.host.close()
        shutil.rmtree(self.directory)


STEPS = settings(max_examples=60, stateful_step_count=40, deadline=None)

TestMemoryAccounts = MemoryMachine.TestCase
TestMemoryAccounts.settings = STEPS
TestLmdbAccounts = LmdbMachine.TestCase
TestLmdbAccounts.settings = STEPS
TestTranches = TrancheMachine.TestCase
TestTranches.settings = STEPS


class TestValkeyAccounts(ValkeyMachine.TestCase):  # type: ignore[valid-type, misc]  # Hypothesis makes it of the machine
    settings = STEPS
    stack: contextlib.ExitStack

    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = contextlib.ExitStack()
        ValkeyMachine.server = cls.stack.enter_context(running())

    @classmethod
    def tearDownClass(cls) -> None:
        cls.stack.close()
