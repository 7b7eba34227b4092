"""How are worker processes put in a race? Each has a store of its own by its settings, and does what it is told."""

import asyncio
import itertools
import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from anyio.lowlevel import checkpoint

from gateway.core.clock import SystemClock
from gateway.core.fleet import Backend
from gateway.routing.policies.round_robin import RoundRobin
from gateway.store import lending, parcels, waiters
from gateway.store.choices import StoreKind
from gateway.store.errors import NoPlaceError, NoSlotError
from gateway.store.factory import open_store
from gateway.store.lmdb import LmdbStore
from gateway.store.protocol import Bucket, Grant, GroupCounts, Seat
from gateway.store.records import BUCKET, record_name
from gateway.store.seat_records import AFTER_SEATS, BACKLOG
from gateway.store.settings import StoreSettings
from gateway.store.tree import records_between
from gateway.store.valkey.store import ValkeyStore

ORGANIZATION = "203.0.113.7"
PROMPTLY = 30.0
"""Seconds for an answer on a busy machine; the tests measure what took place, not how long it took to be told."""
BUSY_SECS = 8.0
"""What other work of the machine may add to the 2 s in which a dead worker's share is handed on: nothing else would."""

READY, STORMING = 0, -1

REPLICAS = (Backend("chat0", "http://chat0:8000"), Backend("chat1", "http://chat1:8000"))
BOTH = ("chat0", "chat1")

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["uvloop", "anyio", "gateway.store.lmdb"])


def settings(directory: Path) -> StoreSettings:
    return StoreSettings(
        limiter_store=StoreKind.LMDB, limiter_path=directory, max_tracked_organizations=1000, journal_bytes=2**20
    )


class Runner:
    """What runs in a worker process: one method per command, its result sent back under the command's number."""

    def __init__(self, pipe: "Connection[Any, Any]", chosen: StoreSettings) -> None:
        self.pipe = pipe
        self.clock = SystemClock()
        self.store = open_store(chosen, self.clock)
        self.held: dict[int, Grant] = {}
        self.seats: dict[int, Seat] = {}
        self.called = 0

    @property
    def one_host(self) -> LmdbStore:
        assert isinstance(self.store, LmdbStore)
        return self.store

    @property
    def several_hosts(self) -> ValkeyStore:
        assert isinstance(self.store, ValkeyStore)
        return self.store

    async def run(self) -> None:
        await self.store.open()
        commands: asyncio.Queue[tuple[int, str, dict[str, Any]]] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(self.pipe.fileno(), lambda: commands.put_nowait(self.pipe.recv()))
        self.pipe.send((READY, None))
        tasks = set()
        while True:
            number, name, arguments = await commands.get()
            if name == "stop":
                await self.store.close()
                self.pipe.send((number, "stopped"))
                return
            tasks.add(asyncio.create_task(self.answer(number, name, arguments)))

    async def answer(self, number: int, name: str, arguments: dict[str, Any]) -> None:
        try:
            result = await getattr(self, name)(**arguments)
        except (NoPlaceError, NoSlotError) as refusal:
            result = type(refusal).__name__
        self.pipe.send((number, result))

    async def take(self, times: int, capacity: float) -> int:
        granted = 0
        for _ in range(times):
            granted += (await self.store.take(ORGANIZATION, Bucket(1e-6, capacity))).granted
            await checkpoint()
        return granted

    async def take_at_once(self, times: int, capacity: float) -> int:
        """How many of so many requests at once are granted."""
        bucket = Bucket(1e-6, capacity)
        states = await asyncio.gather(*(self.store.take(ORGANIZATION, bucket) for _ in range(times)))
        return sum(state.granted for state in states)

    async def be_patient(self) -> None:
        """From now on what is held of a bucket is given back, however long this process stands still."""
        for module, figure in ((lending, "LOAN_SECS"), (parcels, "LOOKS")):
            setattr(module, figure, 10_000)

    async def calls(self) -> int:
        """How often this worker has called for what others hold, from this question on."""
        desk = self.one_host._desk
        if "call_for" not in vars(desk):
            call_for = desk.call_for

            def counted(workers: Iterable[int]) -> None:
                self.called += 1
                call_for(workers)

            vars(desk)["call_for"] = counted
        return self.called

    async def until_nothing_is_held(self) -> None:
        """Until the loans of the bucket are over."""
        name = BUCKET + record_name(ORGANIZATION)
        while lending.level(self.one_host._decide(lambda tree: tree.get(name)), self.clock.monotonic()).loans:
            await self.clock.sleep(0.01)

    async def tokens_held(self) -> int:
        return sum(parcel.left for parcel in self.one_host._parcels.values())

    async def hold(self, limit: int, patience: float = PROMPTLY) -> int:
        grant = await self.store.acquire(ORGANIZATION, limit=limit, max_queued=1000, patience=patience)
        self.held[grant.token] = grant
        return grant.token

    async def free(self, token: int) -> None:
        self.store.release(self.held.pop(token))

    async def pass_through(self) -> int:
        """Wait for the one slot, and say how many came through before."""
        grant = await self.store.acquire(ORGANIZATION, limit=1, max_queued=1000, patience=PROMPTLY)
        turn = await self.store.next_turn("served")
        self.store.release(grant)
        return turn

    async def churn(self, times: int, limit: int, *, hurried: bool) -> list[tuple[int, int]]:
        """Come and go, at random cancelled; from when to when each slot was held, in nanoseconds."""
        chance = random.Random(os.getpid())  # noqa: S311 -- a test's dice
        loop = asyncio.get_running_loop()
        spans: list[tuple[float, float]] = []

        async def visit() -> None:
            grant = await self.store.acquire(ORGANIZATION, limit=limit, max_queued=10_000, patience=PROMPTLY)
            since = self.clock.monotonic()
            try:
                for _ in range(chance.randrange(5)):
                    await checkpoint()
            finally:
                spans.append((since, self.clock.monotonic()))
                self.store.release(grant)

        for _ in range(times // 50):
            tasks = [asyncio.create_task(visit()) for _ in range(50)]
            for task in tasks if hurried else ():
                loop.call_later(chance.uniform(0, 0.02), task.cancel)
            await asyncio.wait(tasks)
        return [(int(since * 1e9), int(until * 1e9)) for since, until in spans]

    async def sit(
        self,
        organization: str = "a",
        candidates: Sequence[str] = ("chat0",),
        limit: int = 1,
        patience: float = PROMPTLY,
    ) -> int:
        """Have a seat and keep it."""
        seat = await self.store.seat(
            "chat", organization, candidates=lambda: candidates, limit=limit, max_queued=1000, patience=patience
        )
        self.seats[seat.token] = seat
        return seat.token

    async def stand(self, token: int) -> None:
        self.store.leave_seat(self.seats.pop(token))

    async def sit_and_go(self, organization: str) -> int:
        """Wait for the one seat, and say how many came through before."""
        token = await self.sit(organization)
        turn = await self.store.next_turn("seated")
        await self.stand(token)
        return turn

    async def visits(self, times: int, limit: int) -> dict[str, list[tuple[int, int]]]:
        """Sit and go, one in two cancelled; from when to when each seat of a backend was taken, in nanoseconds."""
        chance = random.Random(os.getpid())  # noqa: S311 -- a test's dice
        loop = asyncio.get_running_loop()
        spans: dict[str, list[tuple[int, int]]] = {backend: [] for backend in BOTH}

        async def visit() -> None:
            candidates = chance.choice((BOTH, BOTH[::-1], BOTH[:1], BOTH[1:]))
            token = await self.sit(chance.choice("abc"), candidates, limit)
            since = self.clock.monotonic()
            try:
                for _ in range(chance.randrange(5)):
                    await checkpoint()
            finally:
                backend = self.seats[token].backend
                spans[backend].append((int(since * 1e9), int(self.clock.monotonic() * 1e9)))
                await self.stand(token)

        for _ in range(times // 50):
            tasks = [asyncio.create_task(visit()) for _ in range(50)]
            for task in tasks[::2]:
                loop.call_later(chance.uniform(0, 0.02), task.cancel)
            await asyncio.wait(tasks)
        return spans

    async def turns(self, times: int) -> list[int]:
        return [await self.store.next_turn("shared") for _ in range(times)]

    async def choices(self, times: int) -> dict[str, int]:
        """How often each of two replicas was the first choice."""
        order = RoundRobin(self.store.next_turn).order
        return Counter([(await order("chat", REPLICAS))[0].name for _ in range(times)])

    async def storm(self) -> NoReturn:
        """Nothing but write transactions, until it is killed."""
        await self.store.acquire(ORGANIZATION, limit=1_000_000, max_queued=0, patience=0)
        self.pipe.send((STORMING, None))
        for number in itertools.count():
            await self.store.take(f"made-up-{number % 3000}", Bucket(50, 100))
            grant = await self.store.acquire(f"made-up-{number % 7}", limit=1000, max_queued=0, patience=0)
            self.store.release(grant)
            seat = await self.store.seat(
                "chat", f"made-up-{number % 7}", candidates=lambda: BOTH, limit=1000, max_queued=0, patience=0
            )
            self.store.leave_seat(seat)
        raise AssertionError

    async def figures(self) -> tuple[int, int]:
        if isinstance(self.store, ValkeyStore):
            await self.store.refresh()
        counts = self.store.counts()
        return counts.in_flight, counts.queued

    async def seat_figures(self) -> tuple[int, dict[str, int]]:
        """How many wait, and what is taken where, in the one group."""
        counts = self.store.seat_counts() or (GroupCounts("", 0, {}),)
        return counts[0].queued, counts[0].taken

    async def seat_records(self) -> int:
        """How many records of seats there are, of whatever kind."""
        return self.one_host._decide(lambda tree: sum(1 for _ in records_between(tree, BACKLOG, AFTER_SEATS)))

    async def look_no_more(self) -> None:
        """From now on only datagrams wake who waits in this worker."""
        self.one_host._timer.cancel()
        waiters.LOOK_SECS = 3600.0

    async def stay(self, times: int, limit: int, secs: float) -> list[tuple[int, int]]:
        """That many requests at once, each of which holds its slot for so long; from when to when, in nanoseconds."""

        async def visit() -> tuple[int, int]:
            grant = await self.store.acquire(ORGANIZATION, limit=limit, max_queued=1000, patience=PROMPTLY)
            since = self.clock.monotonic()
            await self.clock.sleep(secs)
            until = self.clock.monotonic()
            self.store.release(grant)
            return int(since * 1e9), int(until * 1e9)

        return await asyncio.gather(*(visit() for _ in range(times)))

    async def known_hosts(self) -> int:
        return self.several_hosts._workers.hosts

    async def beat_no_more(self) -> None:
        """From now on only messages wake who waits in this worker, and it is dead for other hosts in a while."""
        self.several_hosts._living.cancel()

    async def hear_no_more(self) -> None:
        """From now on no message reaches this worker."""
        self.several_hosts._session._on_heard = lambda _token, _backend: None

    async def degraded(self) -> bool:
        return self.several_hosts.degraded

    async def longest_call(self, secs: float) -> float:
        """Ask for buckets and slots for so long: the longest time in seconds that one of them took."""
        longest, ends = 0.0, self.clock.monotonic() + secs
        while (since := self.clock.monotonic()) < ends:
            await self.store.take("bucket", Bucket(1000, 1000))
            taken = self.clock.monotonic()
            grant = await self.store.acquire("slot", limit=100, max_queued=0, patience=0)
            self.store.release(grant)
            longest = max(longest, taken - since, self.clock.monotonic() - taken)
            await self.clock.sleep(0.001)
        return longest

    async def deafen(self) -> None:
        """From now on no datagram reaches this worker."""
        self.one_host._desk._doorbell._path.unlink()


def live(pipe: "Connection[Any, Any]", chosen: StoreSettings) -> None:
    uvloop.run(Runner(pipe, chosen).run())


Life = Callable[["Connection[Any, Any]", StoreSettings], None]
"""What a worker process does, from its start to its end."""


class Worker:
    """A worker process as the test sees it."""

    def __init__(self, chosen: StoreSettings, life: "Life" = live) -> None:
        self.pipe, theirs = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=life, args=(theirs, chosen), daemon=True)
        self.process.start()
        theirs.close()
        self.numbers = itertools.count(1)
        self.results: dict[int, Any] = {}

    def start(self, command: str, **arguments: Any) -> int:
        number = next(self.numbers)
        self.pipe.send((number, command, arguments))
        return number

    def result(self, number: int) -> Any:
        while number not in self.results:
            assert self.pipe.poll(PROMPTLY), f"worker {self.process.pid} does not answer"
            answered, result = self.pipe.recv()
            self.results[answered] = result
        return self.results.pop(number)

    def do(self, command: str, **arguments: Any) -> Any:
        return self.result(self.start(command, **arguments))

    def send(self, what: signal.Signals) -> None:
        assert self.process.pid
        os.kill(self.process.pid, what)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.join()


def crew(directory: Path, size: int) -> AbstractContextManager[list[Worker]]:
    """That many workers on one directory."""
    return hired([settings(directory)] * size)


@contextmanager
def hired(chosen: Sequence[StoreSettings]) -> Iterator[list[Worker]]:
    """Workers with those settings that have joined; those still alive are killed at the end."""
    workers = [Worker(each) for each in chosen]
    try:
        for worker in workers:
            worker.result(READY)
        yield workers
    finally:
        for worker in workers:
            if worker.process.is_alive():
                worker.kill()
            worker.pipe.close()


def until_figures(worker: Worker, expected: tuple[int, int]) -> None:
    """Ask until slots taken and requests waiting are as expected; pytest's time-out ends it."""
    while worker.do("figures") != expected:
        pass


def until_seats(worker: Worker, queued: int, **taken: int) -> None:
    """Ask until so many wait and so many seats are taken at each backend; pytest's time-out ends it."""
    while worker.do("seat_figures") != (queued, taken):
        pass
    if not queued and not taken:
        while worker.do("seat_records"):  # who was given a seat and is gone is struck in a step of its own
            pass


def most_at_once(spans: list[tuple[int, int]]) -> int:
    """How many spans overlap at the worst moment; one that ends as another begins does not."""
    edges = sorted([(since, 1) for since, _ in spans] + [(until, -1) for _, until in spans])
    running = most = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most
