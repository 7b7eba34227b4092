"""Those who wait for a seat look in turns, at a bounded rate; whoever may ask others than before lets all look."""

import asyncio
from collections import Counter

import pytest
from anyio.lowlevel import checkpoint

from gateway.core.clock import SystemClock
from gateway.store import waiters
from gateway.store.waiters import Lookout, Waiters

pytestmark = pytest.mark.anyio

MANY, RATE = 100, 20


class Crowd:
    """So many who wait and look, until they are let go."""

    def __init__(self, count: int, patience: float = 60.0) -> None:
        self.looks: Counter[int] = Counter()
        self.over = False
        queue = Waiters(SystemClock())
        self.lookout = Lookout(queue.wake)
        self.waiting = [asyncio.create_task(self._wait(queue, token, patience)) for token in range(count)]

    async def _wait(self, queue: Waiters, token: int, patience: float) -> float:
        def look() -> bool:
            self.looks[token] += 1
            return self.over

        async def wait(seconds: float) -> float:
            return await queue.wait(token, seconds)

        return await self.lookout.wait(token, wait, look, patience)

    async def until(self, looks: int) -> float:
        """The seconds until there were so many looks."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(30):
            while self.looks.total() < looks:
                await checkpoint()
        return loop.time() - began

    async def go(self) -> list[float]:
        """All look once more and end: what each has waited."""
        self.over = True
        self.lookout._told_at = float("-inf")
        self.lookout.tell()
        async with asyncio.timeout(30):
            return await asyncio.gather(*self.waiting)


async def test_many_look_in_turns_and_no_oftener_than_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiters, "LOOKS_PER_SEC", RATE)
    crowd = Crowd(MANY)
    took = await crowd.until(RATE)
    assert took >= (RATE - 1) / RATE  # each for itself, they would have looked 400 times in a second
    assert set(crowd.looks.values()) == {1}
    await crowd.go()


async def test_a_few_look_as_often_as_one_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiters, "LOOKS_PER_SEC", 1e9)
    monkeypatch.setattr(waiters, "LOOK_SECS", 0.05)
    crowd = Crowd(3)
    await crowd.until(30)
    assert max(crowd.looks.values()) - min(crowd.looks.values()) <= 1
    await crowd.go()


async def test_who_may_ask_others_lets_all_look_though_not_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiters, "LOOK_SECS", 3600.0)
    monkeypatch.setattr(waiters, "LOOKS_PER_SEC", 1 / 3600)
    crowd = Crowd(MANY)
    await checkpoint()
    crowd.lookout.tell()
    await crowd.until(MANY)
    crowd.lookout.tell()
    await checkpoint()
    assert set(crowd.looks.values()) == {1}
    assert len(await crowd.go()) == MANY


async def test_patience_ends_with_a_look_and_those_who_are_gone_have_no_turn() -> None:
    crowd = Crowd(3, patience=0.05)
    async with asyncio.timeout(30):
        assert min(await asyncio.gather(*crowd.waiting)) >= 0.05 * 0.9
    assert len(crowd.looks) == len(crowd.waiting)
    assert crowd.lookout._turns == {}
