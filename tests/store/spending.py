"""How are worker processes put in a race for a quota? Each reserves, runs for a moment and settles, until killed."""

import asyncio
import itertools
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from anyio.lowlevel import checkpoint

from gateway.core.clock import SystemClock
from gateway.core.principal import AccountLimits
from gateway.limits.calendar import Calendar
from gateway.store.accounts import Claim, OverLimitError, Reservation, Will
from gateway.store.errors import StoreUnavailableError
from gateway.store.factory import open_store
from gateway.store.lmdb import LmdbStore
from gateway.store.lmdb_accounts import BATCH
from gateway.store.records import AFTER_RESERVATIONS, AFTER_TRANCHES, RESERVATION, TRANCHE
from gateway.store.settings import StoreSettings
from gateway.store.tree import records_between
from gateway.store.valkey.store import ValkeyStore
from gateway.store.wills import WillBook
from tests.store.racing import READY, STORMING, Worker, settings

TODAY = Calendar(UTC).at(SystemClock().wall()).windows
"""As servers have it: what lies days ahead they do not believe."""
ESTIMATE = 40
COST = 25
WILL = 10


class Spender:
    """What runs in a worker process."""

    def __init__(self, pipe: "Connection[Any, Any]", chosen: StoreSettings) -> None:
        self.pipe = pipe
        self.store = open_store(chosen, SystemClock())
        self.numbers = itertools.count()
        self.held: dict[int, Reservation] = {}

    async def run(self) -> None:
        await self.store.open()
        loop = asyncio.get_running_loop()
        orders: asyncio.Queue[tuple[int, str, dict[str, Any]]] = asyncio.Queue()
        loop.add_reader(self.pipe.fileno(), lambda: orders.put_nowait(self.pipe.recv()))
        self.pipe.send((READY, None))
        while True:
            number, name, arguments = await orders.get()
            self.pipe.send((number, await getattr(self, name)(**arguments)))

    async def ask(self, times: int, limit: int, minute: int = 0) -> int:
        """How many of so many requests at once ran, where a day has room for `limit`, and a minute for so many."""
        limits = AccountLimits(requests_per_day=limit, requests_per_minute=minute)
        claims = Claim("org:acme", limits), Claim("key:1", AccountLimits())
        ran = 0

        async def request() -> None:
            nonlocal ran
            will = Will(WILL, f"{os.getpid()} {next(self.numbers)}".encode())
            try:
                reservation = await self.store.accounts.reserve(claims, tokens=ESTIMATE, windows=TODAY, will=will)
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

    async def die_behind_a_sheet(self, times: int) -> None:
        """Be killed between the commit of the last of some sheets and the word of it to the wills."""

        def killed(book: WillBook, *_: object) -> None:
            del book
            os.kill(os.getpid(), signal.SIGKILL)

        await self.ask(times=times, limit=0)
        WillBook.settle = killed  # type: ignore[method-assign,assignment]  # this process has no other use for it
        await self.ask(times=BATCH, limit=0)

    async def figures(self) -> tuple[int, int, int, int]:
        """Requests and tokens of the account; records in the journal, and different ones among them."""
        at = await self.store.accounts.standing("org:acme", TODAY)
        records = [record for sheet in await self.store.accounts.journal(1_000_000) for record in sheet.records()]
        return at.day_requests, at.day_tokens, len(records), len(set(records))

    async def hold(self, limit: int = 0) -> int:
        """Reserve, and settle when told so; -1 where it is refused."""
        claims = Claim("org:acme", AccountLimits(requests_per_day=limit)), Claim("key:1", AccountLimits())
        will = Will(WILL, f"{os.getpid()} {next(self.numbers)}".encode())
        try:
            held = await self.store.accounts.reserve(claims, tokens=ESTIMATE, windows=TODAY, will=will)
        except OverLimitError:
            return -1
        self.held[held.token] = held
        return held.token

    async def end(self, token: int) -> None:
        """Settle what was held."""
        self.store.accounts.settle(self.held.pop(token), requests=1, tokens=COST, record=b"ended %d" % token)

    async def used(self) -> tuple[int, int]:
        """Requests and tokens of the organization, which its key has used alone; -1 if those changed meanwhile."""
        own = await self.store.accounts.standing("org:acme", TODAY)
        keys = await self.store.accounts.standing("key:1", TODAY)
        return (own.day_requests, own.day_tokens) if own == keys else (-1, -1)

    async def restore(self, requests: int, tokens: int) -> bool:
        """Add so much of other epochs; whether that was done."""
        uses = (requests, tokens), (requests, tokens)
        try:
            for account in ("org:acme", "key:1"):
                await self.store.accounts.restore(account, TODAY, *uses)
        except StoreUnavailableError:
            return False
        return True

    async def state(self) -> tuple[bool, int, str]:
        """Is the server away, how many hosts are there, and what is the epoch's name?"""
        assert isinstance(self.store, ValkeyStore)
        return self.store.degraded, self.store._workers.hosts, self.store.accounts.epoch()

    async def longest(self, secs: float) -> float:
        """Reserve and settle for so long: the longest time in seconds that one of them took."""
        longest, clock = 0.0, SystemClock()
        ends = clock.monotonic() + secs
        while (since := clock.monotonic()) < ends:
            await self.end(await self.hold())
            longest = max(longest, clock.monotonic() - since)
            await clock.sleep(0.001)
        return longest

    async def died(self) -> int:
        """How many requests were booked as their wills say."""
        return sum(
            not record.startswith(b"ended")
            for sheet in await self.store.accounts.journal(1_000_000)
            for record in sheet.records()
        )

    async def reservations(self) -> int:
        """How many requests run, and tranches are held."""
        assert isinstance(self.store, LmdbStore)
        kinds = (RESERVATION, AFTER_RESERVATIONS), (TRANCHE, AFTER_TRANCHES)
        return self.store._decide(
            lambda tree: sum(1 for first, after in kinds for _ in records_between(tree, first, after))
        )


def spend(pipe: "Connection[Any, Any]", chosen: StoreSettings) -> None:
    uvloop.run(Spender(pipe, chosen).run())


def spenders(directory: Path, count: int) -> AbstractContextManager[list[Worker]]:
    """So many processes on one host."""
    return all_spenders([settings(directory)] * count)


@contextmanager
def all_spenders(chosen: Sequence[StoreSettings]) -> Iterator[list[Worker]]:
    """Processes with those settings, which are killed at the end."""
    workers = [Worker(each, spend) for each in chosen]
    try:
        for worker in workers:
            worker.result(READY)
        yield workers
    finally:
        for worker in workers:
            if worker.process.is_alive():
                worker.kill()
            worker.pipe.close()
