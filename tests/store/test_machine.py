"""Whatever happens to a store, in whatever order, the same requests run as in a model of its promises.

Requests come, wait, run, are given back, given back again, cancelled and lose patience; limits change; workers crash
and others come; clocks jump.
"""

import asyncio
import contextlib
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
import uvloop
from anyio.lowlevel import checkpoint
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from pydantic import SecretStr

from gateway.store.choices import StoreKind
from gateway.store.errors import NoSlotError
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Bucket, Grant, LimiterStore, Seat
from gateway.store.seat_records import AFTER_SEATS, BACKLOG
from gateway.store.settings import StoreSettings, default_path
from gateway.store.tree import records_between
from gateway.store.valkey.scripts import EVERYBODYS, LAYOUT
from gateway.store.valkey.store import ValkeyStore
from gateway.store.waiters import Waiters
from tests.store.conftest import HandClock, tell_time_by
from tests.store.host import Host
from tests.store.model import Model, Wish, summary
from tests.store.valkey.server import Server, running

BUCKET = Bucket(rate=2, capacity=8)
WORKERS = 3
FOR_EVER = 3600.0
TURNS = 500
"""Of the loop, within which a datagram has come there and another back."""

Held = Grant | Seat
T = TypeVar("T")

numbers = st.integers(0, 20)
keys = st.sampled_from("ab")
groups = st.sampled_from(("chat", "embed"))
limits = st.sampled_from((2, 2, 2, 1, 3))
backends = st.lists(st.sampled_from(("0", "1", "2")), min_size=1, unique=True).map(tuple)


class Request:
    """A request at one of the workers."""

    def __init__(self, store: LimiterStore, asking: Coroutine[Any, Any, Held]) -> None:
        self.store = store
        self.token = 0  # its number among those who wait at its worker; 0: it does not
        self.task = asyncio.get_running_loop().create_task(asking)

    @property
    def held(self) -> Held | None:
        """What it runs with."""
        return self.task.result() if self.task.done() and not self.task.cancelled() else None

    def give_back(self, held: Held) -> None:
        if isinstance(held, Seat):
            self.store.leave_seat(held)
        else:
            self.store.release(held)


class StoreMachine(RuleBasedStateMachine):
    """The rules; who the workers are is told by those who inherit."""

    workers: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self.loop = uvloop.new_event_loop()
        self.clock = HandClock()
        self.model = Model()
        self.requests: dict[int, Request] = {}
        self.wishes: dict[int, Wish] = {}  # of those that came for a seat
        self.number = 0

    def do(self, work: Awaitable[T]) -> T:
        async def done() -> T:
            async with asyncio.timeout(10):
                return await work

        return self.loop.run_until_complete(done())

    def pick(self, number: int) -> tuple[int, Request]:
        """One of the requests that are there."""
        visit = sorted(self.requests)[number % len(self.requests)]
        return visit, self.requests[visit]

    def worker(self, number: int) -> Any:
        """One of the workers."""
        return self.workers[number % len(self.workers)]

    # Rules

    @rule(key=keys, cost=st.sampled_from((0.0, 1.0, 3.0)), number=numbers)
    def take(self, key: str, cost: float, number: int) -> None:
        state = self.do(self.worker(number).take(key, BUCKET, cost))
        assert state.granted == self.model.take(key, BUCKET, cost, self.clock.now)

    @rule(key=keys, limit=limits, number=numbers)
    def acquire(self, key: str, limit: int, number: int) -> None:
        store = self.worker(number)
        self.model.acquire(key, self.number, limit)
        self.come(store, store.acquire(key, limit=limit, max_queued=1000, patience=FOR_EVER))

    @rule(group=groups, organization=keys, candidates=backends, limit=limits, number=numbers)
    def seat(self, group: str, organization: str, candidates: tuple[str, ...], limit: int, number: int) -> None:
        store = self.worker(number)
        wish = self.wishes[self.number] = Wish(self.number, organization, candidates)
        self.model.seat(group, wish, limit)
        asking = store.seat(
            group,
            organization,
            candidates=lambda: self.wishes[wish.visit].candidates,
            limit=limit,
            max_queued=1000,
            patience=FOR_EVER,
        )
        self.come(store, asking)

    @precondition(lambda self: any(request.token for request in self.requests.values()))
    @rule(number=numbers, candidates=backends)
    def change(self, number: int, candidates: tuple[str, ...]) -> None:
        """Who waits for a seat may be asked elsewhere from now on, and looks."""
        visit, request = self.pick(number)
        if visit in self.wishes and not request.held:
            wish = self.wishes[visit] = replace(self.wishes[visit], candidates=candidates)
            self.model.change(wish)
            waiters_of(request.store).wake(request.token)
            self.do(self.as_in_the_model())

    @precondition(lambda self: self.requests)
    @rule(number=numbers, times=st.integers(1, 3))
    def end(self, number: int, times: int) -> None:
        """Give back what is held, once or more often; one that waits is cancelled."""
        visit, request = self.pick(number)
        if request.held:
            for _ in range(times):
                request.give_back(request.held)
        else:
            request.task.cancel()
            self.do(asyncio.wait([request.task]))
            assert request.task.cancelled()
        self.gone([visit])

    @precondition(lambda self: any(request.token for request in self.requests.values()))
    @rule(number=numbers)
    def expire(self, number: int) -> None:
        """Let the time be over for one that waits."""
        visit, request = self.pick(number)
        if not request.held:
            if visit in self.wishes:  # none to be asked at: its time is over at its next look
                self.wishes[visit] = replace(self.wishes[visit], candidates=())
            waiters_of(request.store).wake(request.token)
            self.do(asyncio.wait([request.task]))
            assert isinstance(request.task.exception(), NoSlotError)
            self.gone([visit])

    @rule(hours=st.sampled_from((0.001, 0.3, 1.0, 3600.0)), wall=st.sampled_from((0.0, 3600.0, -7200.0)))
    def step_the_clocks(self, hours: float, wall: float) -> None:
        self.clock.now += hours
        self.clock.wall_now += wall

    @precondition(lambda self: self.workers)
    @rule(number=numbers)
    def crash(self, number: int) -> None:
        """End a worker without a word; another comes in its stead."""
        store = self.worker(number)
        mine = [visit for visit, request in self.requests.items() if request.store is store]
        self.do(self.replace(store, [self.requests[visit].task for visit in mine]))
        self.gone(mine)

    # What the rules share

    def come(self, store: LimiterStore, asking: Coroutine[Any, Any, Held]) -> None:
        async def came() -> Request:
            before = set(waiters_of(store))
            request = Request(store, asking)
            await self.until_entered(store, request, before)
            (request.token,) = set(waiters_of(store)) - before or {0}
            return request

        self.requests[self.number] = self.do(came())
        self.number += 1
        self.do(self.as_in_the_model())

    def gone(self, visits: list[int]) -> None:
        for visit in visits:
            del self.requests[visit]
        self.model.end(visits)
        self.do(self.as_in_the_model())

    async def as_in_the_model(self) -> None:
        """The same run, at the same backends, as soon as all who were called have looked."""
        for _ in range(TURNS):
            if self.running == self.model.running:
                break
            await self.look_on()
        assert self.running == self.model.running
        await self.refresh()
        for worker in self.workers:
            assert summary(worker.seat_counts()) == self.model.seat_counts

    @property
    def running(self) -> dict[int, str]:
        held = ((visit, request.held) for visit, request in self.requests.items())
        return {visit: getattr(had, "backend", "") for visit, had in held if had}

    async def until_entered(self, _store: Any, _request: Request, _before: set[int]) -> None:
        """Until a request that has just come runs or waits."""
        await checkpoint()

    async def look_on(self) -> None:
        """Let those who were called look."""
        await checkpoint()

    async def refresh(self) -> None:
        """Have the workers know what they are asked for."""

    @abstractmethod
    async def replace(self, store: Any, tasks: list["asyncio.Task[Held]"]) -> None:
        """A worker has crashed, with those requests; another comes in its place."""

    @abstractmethod
    async def close(self) -> None:
        """All workers end."""

    def teardown(self) -> None:
        try:
            while self.requests:
                self.end(0, 1)
            for worker in self.workers:
                worker.counts()  # which has each give back what it keeps
            self.do(self.refresh())
            for worker in self.workers:
                counts = worker.counts()
                assert (counts.in_flight, counts.queued, worker.seat_counts()) == (0, 0, ())
                assert len(waiters_of(worker)) == 0
        finally:
            self.do(self.close())
            self.loop.close()


def waiters_of(store: Any) -> Waiters:
    """Those who wait at a worker; no caller of a store needs to know them."""
    waiters: Waiters = getattr(store, "_desk", store)._waiters
    return waiters


async def forget(tasks: list["asyncio.Task[Held]"]) -> None:
    """What a dead worker's requests would have done does not happen."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


class MemoryMachine(StoreMachine):
    """One worker, whose memory ends with it."""

    @initialize()
    def open(self) -> None:
        self.workers = [MemoryStore(StoreSettings(limiter_store=StoreKind.MEMORY), self.clock)]

    async def replace(self, store: Any, tasks: list["asyncio.Task[Held]"]) -> None:
        store._closed = True
        await forget(tasks)
        self.open()
        self.model.full_at.clear()

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()


class LmdbMachine(StoreMachine):
    """Three workers on one directory, whoever of them dies."""

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gw-", dir=default_path().parent))
        self.host = Host(self.directory, self.clock)
        self.workers = self.host.workers
        for _ in range(WORKERS):
            self.do(self.host.open_worker())

    @rule()
    def look_round(self) -> None:
        """A tenth of a second passes."""

        async def look() -> None:
            self.host.look_round()

        self.do(look())

    async def replace(self, store: Any, tasks: list["asyncio.Task[Held]"]) -> None:
        self.host.crash(store)
        await forget(tasks)
        self.host.look_round()
        await self.host.open_worker()

    async def close(self) -> None:
        left = self.workers[0]._decide(lambda tree: list(records_between(tree, BACKLOG, AFTER_SEATS)))
        await self.host.close()
        assert not left
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)


class ValkeyMachine(StoreMachine):
    """Three workers on a host, whoever of them dies; they beat when they are told to."""

    server: ClassVar[Server]

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gw-", dir=default_path().parent))
        self.patch = pytest.MonkeyPatch()
        tell_time_by(self.clock, self.server, self.patch)
        self.patch.setattr("gateway.store.valkey.store.SETTLE_SECS", 0)  # one after the other joins again at once
        self.workers = []
        for _ in range(WORKERS):
            self.do(self.open_worker())

    async def open_worker(self) -> None:
        local = MemoryStore(StoreSettings(limiter_store=StoreKind.MEMORY), self.clock)
        settings = StoreSettings(
            limiter_path=self.directory, redis_url=SecretStr(self.server.url), redis_timeout_ms=1000
        )
        worker = ValkeyStore(settings, self.clock, local)
        await worker.open()
        worker._living.cancel()
        self.workers.append(worker)

    @precondition(lambda self: self.workers)
    @rule(number=numbers)
    def beat(self, number: int) -> None:
        """A quarter of a second passes for one of them."""
        self.do(self.worker(number)._beat())
        self.do(self.as_in_the_model())

    @precondition(lambda self: self.workers)
    @rule()
    def flush(self) -> None:
        """The server loses all but the buckets, and each worker beats."""
        if len(self.running) == len(self.requests):  # of those who wait nobody knows whose turn it was
            for key in self.server.ask("KEYS", LAYOUT + b"*"):
                if not key.endswith(b":bucket"):
                    self.server.ask("DEL", key)
            for worker in self.workers:
                self.do(worker._beat())
            self.do(self.as_in_the_model())

    async def until_entered(self, store: Any, request: Request, before: set[int]) -> None:
        while not request.task.done() and not set(waiters_of(store)) - before:
            await checkpoint()

    async def look_on(self) -> None:
        """Whatever the server has published before it answers is heard."""
        await self.refresh()
        await checkpoint()

    async def refresh(self) -> None:
        for worker in self.workers:
            await worker.refresh()

    async def replace(self, store: Any, tasks: list["asyncio.Task[Held]"]) -> None:
        self.workers.remove(store)
        store._closed = True
        store._session.close()
        await forget(tasks)
        store._home._socket.close()
        store._home._probe.close()
        await self.workers[0]._beat()
        await self.open_worker()

    async def close(self) -> None:
        for worker in self.workers:
            await worker.close()
        self.patch.undo()
        shutil.rmtree(self.directory)
        left = [
            key
            for key in self.server.ask("KEYS", LAYOUT + b"*")
            if not key.endswith((b":bucket", b"{t:turn}", b":epoch", EVERYBODYS[1]))
        ]
        assert not left


STEPS = settings(max_examples=60, stateful_step_count=40, deadline=None)

TestMemoryStore = MemoryMachine.TestCase
TestMemoryStore.settings = STEPS
TestLmdbStore = LmdbMachine.TestCase
TestLmdbStore.settings = STEPS


class TestValkeyStore(ValkeyMachine.TestCase):  # type: ignore[valid-type, misc]  # Hypothesis makes it of the machine
    settings = STEPS
    stack: contextlib.ExitStack

    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = contextlib.ExitStack()
        ValkeyMachine.server = cls.stack.enter_context(running())

    @classmethod
    def tearDownClass(cls) -> None:
        cls.stack.close()
