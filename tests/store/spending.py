"""How are worker processes put in a race for a quota? Each reserves, runs for a moment and settles, until killed."""

import asyncio
import itertools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from anyio.lowlevel import checkpoint

from gateway.core.clock import SystemClock
from gateway.core.principal import AccountLimits
from gateway.store.accounts import Claim, OverLimitError, Will, Windows
from gateway.store.lmdb import LmdbStore
from gateway.store.records import AFTER_RESERVATIONS, RESERVATION
from gateway.store.settings import StoreSettings
from gateway.store.tree import records_between
from tests.store.racing import READY, STORMING, Worker, settings

TODAY = Windows(739_000, 24_300)
ESTIMATE = 40
COST = 25
WILL = 10


class Spender:
    """What runs in a worker process."""

    def __init__(self, pipe: "Connection[Any, Any]", chosen: StoreSettings) -> None:
        self.pipe = pipe
        self.store = LmdbStore(chosen, SystemClock())
        self.numbers = itertools.count()

    async def run(self) -> None:
        await self.store.open()
        loop = asyncio.get_running_loop()
        orders: asyncio.Queue[tuple[int, str, dict[str, Any]]] = asyncio.Queue()
        loop.add_reader(self.pipe.fileno(), lambda: orders.put_nowait(self.pipe.recv()))
        self.pipe.send((READY, None))
        while True:
            number, name, arguments = await orders.get()
            self.pipe.send((number, await getattr(self, name)(**arguments)))

    async def ask(self, times: int, limit: int) -> int:
        """How many of so many requests at once ran, where a day has room for `limit`."""
        claim = Claim("org:acme", AccountLimits(requests_per_day=limit))
        ran = 0

        async def request() -> None:
            nonlocal ran
            will = Will(WILL, f"{os.getpid()} {next(self.numbers)}".encode())
            try:
                reservation = await self.store.accounts.reserve((claim,), tokens=ESTIMATE, windows=TODAY, will=will)
            except OverLimitError:
                return
            ran += 1
            for _ in range(random.randrange(5)):  # noqa: S311 -- a test's dice
                await checkpoint()
            self.store.accounts.settle(reservation, requests=1, tokens=COST, record=b"ended " + will.record)

        await asyncio.gather(*(request() for _ in range(times)))
        return ran

    async def storm(self) -> NoReturn:
        """Requests one after another, some at once, until the process is killed."""
        self.pipe.send((STORMING, None))
        while True:
            await self.ask(times=8, limit=0)
            await checkpoint()

    async def figures(self) -> tuple[int, int, int, int]:
        """Requests and tokens of the account; records in the journal, and different ones among them."""
        at = await self.store.accounts.standing("org:acme", TODAY)
        records = [record for _, record in await self.store.accounts.journal(1_000_000)]
        return at.day_requests, at.day_tokens, len(records), len(set(records))

    async def died(self) -> int:
        """How many requests were booked as their wills say."""
        return sum(not record.startswith(b"ended") for _, record in await self.store.accounts.journal(1_000_000))

    async def reservations(self) -> int:
        """How many requests run."""
        return self.store._decide(lambda tree: sum(1 for _ in records_between(tree, RESERVATION, AFTER_RESERVATIONS)))


def spend(pipe: "Connection[Any, Any]", chosen: StoreSettings) -> None:
    uvloop.run(Spender(pipe, chosen).run())


@contextmanager
def spenders(directory: Path, count: int) -> Iterator[list[Worker]]:
    """So many processes, which are killed at the end."""
    workers = [Worker(settings(directory), spend) for _ in range(count)]
    try:
        for worker in workers:
            worker.result(READY)
        yield workers
    finally:
        for worker in workers:
            if worker.process.is_alive():
                worker.kill()
            worker.pipe.close()
