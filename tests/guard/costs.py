"""How is a cost taken? Over and over, after a warm-up, and the figure is one that most of the runs show or exceed."""

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.guard.budgets import Cost, Memory
from tests.guard.meter import Count, Held, counting, held
from tests.guard.stage import Backend, Peer, Stage

WARM_UPS = 12
"""More than anything in the hot path waits for before it has learned what repeats."""
RUNS = 24
EVENTS = 12
STREAMS = 24
FILLING = 3
"""The first rounds still fill tables and pools that later ones find filled."""
ROUNDS = 9
"""Of which the middle figures count: in some, a number that all streams share is one that each has of its own."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A cost, and where it arises."""

    cost: Cost
    count: Count


@dataclass(frozen=True, slots=True)
class MeasuredMemory:
    """What is held for one stream, and where that of all is allocated."""

    cost: Memory
    count: Held


def typical(counts: list[Count]) -> Measured:
    """The lower quartile of the runs: a timer that fires meanwhile, or the log's thread that must be woken, adds."""
    count = sorted(counts, key=Count.totals)[len(counts) // 4]
    return Measured(Cost(*count.totals()), count)


async def whole(stage: Stage) -> Measured:
    """A chat answer that is not streamed."""
    client = await stage.client()
    return await _repeated(lambda: stage.ask(client))


async def stream(stage: Stage) -> Measured:
    """A stream of two events, from its request to its end."""
    client = await stage.client()

    async def once() -> None:
        backend = await stage.open_stream(client)
        await stage.event(client, backend, 1)
        await stage.end_stream(client, backend)

    return await _repeated(once)


async def event(stage: Stage) -> Measured:
    """A further event of a running stream."""
    client = await stage.client()
    counts = []
    for _ in range(RUNS // EVENTS + 1):
        async with _running(stage, client) as backend:
            for number in range(2, 2 + EVENTS):
                with counting() as count:
                    await stage.event(client, backend, number)
                counts.append(count)
    return typical(counts[EVENTS:])


async def memory(stage: Stage) -> MeasuredMemory:
    """What is held for each stream of many between two events, connections aside."""
    clients = [await stage.client() for _ in range(STREAMS)]
    tracemalloc.start()
    try:
        rounds = [await _held_by_streams(stage, clients) for _ in range(FILLING + ROUNDS)]
    finally:
        tracemalloc.stop()
    by_blocks = sorted(rounds[FILLING:], key=lambda taken: taken.blocks.total())[ROUNDS // 2]
    by_size = sorted(rounds[FILLING:], key=lambda taken: taken.size.total())[ROUNDS // 2]
    return MeasuredMemory(Memory(by_blocks.blocks.total() / STREAMS, by_size.size.total() / STREAMS), by_size)


async def _repeated(work: Callable[[], Awaitable[object]]) -> Measured:
    for _ in range(WARM_UPS):
        await work()
    counts = []
    for _ in range(RUNS):
        with counting() as count:
            await work()
        counts.append(count)
    return typical(counts)


@asynccontextmanager
async def _running(stage: Stage, client: Peer) -> AsyncIterator[Backend]:
    """A stream of which two events are there: from here on its pieces are alike."""
    backend = await stage.open_stream(client)
    await stage.event(client, backend, 1)
    yield backend
    await stage.end_stream(client, backend)


async def _held_by_streams(stage: Stage, clients: list[Peer]) -> Held:
    before = held()
    backends = [await stage.open_stream(client) for client in clients]
    for client, backend in zip(clients, backends, strict=True):
        await stage.event(client, backend, 1)
    taken = held() - before
    for client, backend in zip(clients, backends, strict=True):
        await stage.end_stream(client, backend)
    return taken
