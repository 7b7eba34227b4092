"""How do the tests of seats ask a store? A group with two backends, of which each has so many."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from anyio.lowlevel import checkpoint

from gateway.store.protocol import GroupCounts, LimiterStore, Seat
from tests.store.conftest import counted

CHAT = "chat"
BOTH = ("chat0", "chat1")


@dataclass
class Floor:
    """One group of a store, as these tests ask for it."""

    store: LimiterStore
    limit: int = 1

    async def seat(
        self,
        organization: str = "a",
        candidates: Sequence[str] = BOTH,
        *,
        max_queued: int = 1000,
        patience: float = 20.0,
    ) -> Seat:
        return await self.store.seat(
            CHAT,
            organization,
            candidates=lambda: candidates,
            limit=self.limit,
            max_queued=max_queued,
            patience=patience,
        )

    async def queue(self, organization: str, candidates: Sequence[str] = BOTH) -> "asyncio.Task[Seat]":
        """A task that is known to wait."""
        before = await self.queued()
        task = asyncio.create_task(self.seat(organization, candidates))
        await self.until_queued(before + 1)
        return task

    async def counts(self) -> tuple[GroupCounts, ...]:
        await counted(self.store)
        return self.store.seat_counts()

    async def until_queued(self, queued: int) -> None:
        async with asyncio.timeout(10):
            while await self.queued() != queued:
                await checkpoint()

    async def queued(self) -> int:
        return sum(group.queued for group in await self.counts())

    async def taken(self) -> dict[str, int]:
        return {backend: taken for group in await self.counts() for backend, taken in group.taken.items()}

    async def order(self, seat: Seat, waiting: Sequence["asyncio.Task[Seat]"]) -> list[int]:
        """Leave the seat, and then each that is given, until nobody waits: whose seat each was, by its place."""
        left, order = list(waiting), list[int]()
        while left:
            self.store.leave_seat(seat)
            done, _ = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            (next_one,) = done
            left.remove(next_one)
            order.append(waiting.index(next_one))
            seat = next_one.result()
        self.store.leave_seat(seat)
        return order


@pytest.fixture
def floor(store: LimiterStore) -> Floor:
    return Floor(store)
