"""Who decides while the server does not? The host's own store, which has this host's share of each limit."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from gateway.store.errors import NoPlaceError, NoSlotError, StoreUnavailableError
from gateway.store.protocol import Bucket, BucketState, Candidates, Grant, LimiterStore, Seat
from gateway.store.valkey.book import Book, Held
from gateway.store.valkey.scripts import SEATS

T = TypeVar("T", Grant, Seat)


class MovedError(Exception):
    """The server decides again: who waits at the host's own store asks there."""


class Hostwide:
    """The host's own store while the server is away.

    What runs already is entered there first, as far as the share allows; so a host that held more than its share lets
    nobody start until it is below.
    """

    def __init__(self, store: LimiterStore, book: Book) -> None:
        self.store = store
        self.hosts = 1
        self._book = book
        self._adoption: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Task[Any]] = set()

    def begin(self, hosts: int) -> None:
        """The server is away; so many hosts were there."""
        self.hosts = hosts
        if self._adoption is None or self._adoption.done():
            self._adoption = asyncio.get_running_loop().create_task(self._adopt())

    def end(self) -> None:
        """The server is back: those who wait here get MovedError."""
        for task in self._waiting:
            task.cancel()

    def share(self, limit: int) -> int:
        """This host's part of a limit; at least one, so that nobody is shut out, and none of a limit of none."""
        return max(limit // self.hosts, min(limit, 1))

    async def take(self, key: str, bucket: Bucket, cost: float) -> BucketState:
        """A part of the bucket, but enough for one request."""
        part = Bucket(bucket.rate / self.hosts, max(bucket.capacity / self.hosts, min(bucket.capacity, cost or 1.0)))
        return await self.store.take(key, part, cost)

    async def slot(self, held: Held, max_queued: int, patience: float) -> float:
        """Have one of the host's part of the slots: the seconds waited. Raises as `acquire`, and MovedError."""
        shadow = await self._wait(
            self.store.acquire(
                held.name, limit=self.share(held.limit), max_queued=self.share(max_queued), patience=patience
            )
        )
        held.shadow = shadow
        return shadow.waited

    async def seat(self, held: Held, candidates: Candidates, max_queued: int, patience: float) -> tuple[str, float]:
        """Have one of the host's part of the seats: its backend and the seconds waited. Raises as `slot`."""
        shadow = await self._wait(
            self.store.seat(
                held.name,
                held.organization,
                candidates=candidates,
                limit=self.share(held.limit),
                max_queued=self.share(max_queued),
                patience=patience,
            )
        )
        held.shadow = shadow
        return shadow.backend, shadow.waited

    def release(self, held: Held) -> None:
        """Give up what one request was counted as here, if it was."""
        if isinstance(held.shadow, Grant):
            self.store.release(held.shadow)
        elif held.shadow is not None:
            self.store.leave_seat(held.shadow)

    async def _wait(self, asking: Coroutine[Any, Any, T]) -> T:
        if self._adoption is not None:
            await asyncio.shield(self._adoption)
        task = asyncio.get_running_loop().create_task(asking)
        self._waiting.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            ours = asyncio.current_task()
            if ours is not None and ours.cancelling():
                raise
            raise MovedError from None
        finally:
            self._waiting.discard(task)

    async def _adopt(self) -> None:
        """Enter what runs already."""
        for folder in list(self._book.folders.values()):
            for held in list(folder.held.values()):
                if held.shadow is None:
                    await self._enter(held, seat=folder.tag.startswith(SEATS))

    async def _enter(self, held: Held, *, seat: bool) -> None:
        limit = self.share(held.limit)
        try:
            if seat:
                usable = (held.backend.decode("utf-8", "surrogatepass"),)
                held.shadow = await self.store.seat(
                    held.name, held.organization, candidates=lambda: usable, limit=limit, max_queued=0, patience=0.0
                )
            else:
                held.shadow = await self.store.acquire(held.name, limit=limit, max_queued=0, patience=0.0)
        except (NoPlaceError, NoSlotError, StoreUnavailableError):
            return  # more than the share runs; it is in the server's record again when that is back
