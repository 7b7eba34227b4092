"""Whatever workers take, hold, give back, die with and are late for: a bucket admits what one without workers would.

What nobody but a dead worker, or one that is too late, can have used counts as used, and flows in again.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gateway.store import bucket as buckets
from gateway.store import lending
from gateway.store.lmdb import LmdbStore
from gateway.store.protocol import Bucket
from gateway.store.records import BUCKET
from gateway.store.settings import default_path
from tests.store.conftest import Waits
from tests.store.host import Host

WORKERS = 3
CLOSE = 1e-3
"""Tokens by which sums of some hundred floats may differ."""

KEPT = 0.3
"""Seconds for which a late worker is waited for, here."""

T = TypeVar("T")

who = st.integers(0, WORKERS - 1)


class Brief(Waits):
    """Whoever sleeps is soon awake, so that nothing is over that others are called to give back."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 10)


class BucketMachine(RuleBasedStateMachine):
    """One bucket that several workers ask, and two numbers: what was taken of it, and what may have been."""

    bucket: ClassVar = Bucket(rate=200, capacity=100)

    def __init__(self) -> None:
        super().__init__()
        self.loop = uvloop.new_event_loop()
        self.clock = Brief()
        self.directory = Path(tempfile.mkdtemp(prefix="gw-", dir=default_path().parent))
        self.taken = self.maybe_taken = buckets.FULL
        self.late: set[bytes] = set()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(lending, "KEPT_SECS", KEPT)

    def do(self, work: Awaitable[T]) -> T:
        async def done() -> T:
            async with asyncio.timeout(10):
                return await work

        return self.loop.run_until_complete(done())

    @initialize()
    def begin(self) -> None:
        self.host = Host(self.directory, self.clock)
        for _ in range(WORKERS):
            self.do(self.host.open_worker())

    @rule(number=who, times=st.integers(1, 12))
    def take(self, number: int, times: int) -> None:
        for _ in range(times):
            self.take_some(number, 1.0)

    @rule(number=who, cost=st.sampled_from((0.0, 3.0, 40.0, 90.0)))
    def take_some(self, number: int, cost: float) -> None:
        state = self.do(self.host.workers[number].take("a", self.bucket, cost))
        now = self.clock.now
        for worker in self.host.workers:
            parcel = worker._parcels.get("a")
            if parcel is not None and parcel.until + KEPT <= now and parcel.written not in self.late:
                self.late.add(parcel.written)
                self.nobody_has(parcel.left)
        if state.granted:
            self.taken = max(self.taken, now) + cost / self.bucket.rate
            assert (self.taken - now) * self.bucket.rate <= self.bucket.capacity + CLOSE
            self.maybe_taken = max(self.maybe_taken, now) + cost / self.bucket.rate
        else:
            self.was_refused(cost)

    @rule(number=who, secs=st.sampled_from((0.0, 0.1, 0.2, 0.35)))
    def take_all_that_is_there(self, number: int, secs: float) -> None:
        """After a while, and others use what they hold besides."""
        self.clock.now += secs
        store: LmdbStore = self.host.workers[number]
        full_at, _ = lending.level(store._decide(lambda tree: tree.get(BUCKET + b"a")), self.clock.now)
        there = buckets.take(full_at, self.clock.now, self.bucket, 0.0)[1].remaining
        self.take_some(number, float(int(there)))
        for holder, worker in enumerate(self.host.workers):
            if "a" in worker._parcels:
                self.take(holder, worker._parcels["a"].left)

    def was_refused(self, cost: float) -> None:
        """What one who was refused tells; here nothing, as what flows in beside a parcel may be lost."""

    @rule(secs=st.sampled_from((0.01, 0.1, 0.35)))
    def let_time_go_by(self, secs: float) -> None:
        self.clock.now += secs

    @rule()
    def tick(self) -> None:
        self.host.look_round()

    @rule(number=who)
    def kill(self, number: int) -> None:
        dies: LmdbStore = self.host.workers[number]
        parcel = dies._parcels.get("a")
        self.nobody_has(parcel.left if parcel else 0)
        self.host.crash(dies)
        self.do(self.host.open_worker())

    def nobody_has(self, tokens: int) -> None:
        self.maybe_taken = max(self.maybe_taken, self.clock.now) + tokens / self.bucket.rate

    def teardown(self) -> None:
        try:
            self.do(self.host.close())
        finally:
            self.patch.undo()
            self.loop.close()
            shutil.rmtree(self.directory, ignore_errors=True)


class NeverFullMachine(BucketMachine):
    """A bucket that is never full while it is looked at: then nobody is refused who need not be."""

    bucket: ClassVar = Bucket(rate=20, capacity=2000)

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.take_some(0, 1900.0)

    def was_refused(self, cost: float) -> None:
        now = self.clock.now
        parcels = [worker._parcels["a"] for worker in self.host.workers if "a" in worker._parcels]
        late = sum(parcel.left for parcel in parcels if parcel.until <= now and parcel.written not in self.late)
        _, allowed = buckets.take(self.maybe_taken, now, self.bucket, cost + late + CLOSE)
        assert not allowed.granted


BucketMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
NeverFullMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestBucket = BucketMachine.TestCase
TestNeverFull = NeverFullMachine.TestCase
