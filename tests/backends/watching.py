"""How does a test see what a prober finds? On a board of its own, with a clock that stands still until it is moved."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.health import BackendHealth
from gateway.backends.heritage import Heritage
from gateway.backends.probed import Probed
from gateway.backends.prober import TICK_SECS, Prober
from gateway.backends.roster import build_roster
from gateway.backends.settings import BackendSettings
from tests.core.hand_time import HandTime

KEY = "sk-backends-4f2a"

CLOSED_PORT = "http://127.0.0.1:9"

LIMIT = 30.0


class Watch:
    """A prober of one group, its board, and a clock that stands still until the test moves it."""

    def __init__(self, *urls: str, before: "Watch | None" = None, **fields: object) -> None:
        required = {"backend_api_key": KEY, "chat_backends": urls, "chat_aliases": (), "backend_stall_secs": LIMIT}
        self.settings = BackendSettings.model_validate({**required, **fields})
        self.time: HandTime = HandTime() if before is None else before.time
        self.board = Board([backend for _, backend in build_roster(self.settings).backends()])
        self.breaker = Breaker(self.board, BreakerSettings(), self.time)
        self.told: list[Probed] = []
        stall = self.settings.backend_stall_secs
        self.heritage: Heritage = Heritage(
            self.board, stall, self.time.now, None if before is None else before.heritage
        )
        self.prober = Prober(self.settings, self.heritage, self.breaker, self.time, on_probe=self.told.append)

    def verdict(self, name: str = "chat0") -> BackendHealth:
        health = self.board.verdict(name)
        assert health is not None
        return health

    def states(self) -> list[str]:
        """What was told, one line for each change."""
        return [f"{one.backend.name} {one.after.state} {one.after.reason}" for one in self.told if one.changed]

    async def probes(self, count: int = 1, each: float = 1.0) -> BackendHealth:
        """So many rounds, with the clock moved before each."""
        for _ in range(count):
            self.time.advance(each)
            await asyncio.gather(*(self.prober._probe(watched) for watched in self.prober._watched))
        return self.verdict()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The prober at work, as the clock is moved."""
        task = asyncio.create_task(self.prober.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def next_probe(self) -> float:
        """Move the clock until one more probe has ended; the seconds it took."""
        count = len(self.told) + 1
        return await self.until(lambda: len(self.told) == count)

    async def until(self, condition: Callable[[], object], step: float = TICK_SECS) -> float:
        """Move the clock step by step until that is so, with probes at their ends before each; the seconds it took."""
        before = self.time.now
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)  # noqa: TID251 -- the prober's turn
                probes = [watched.task for watched in self.prober._watched if watched.task is not None]
                if probes:
                    await asyncio.wait(probes, timeout=0.05)
                if not condition():
                    self.time.advance(step)
        return self.time.now - before
