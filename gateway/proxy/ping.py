"""Is it still alive? `: ping` comments to a client that waits for a stream's first token."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.core.clock import Clock

PING = b": ping\n\n"
"""A comment of the event-stream format: every client skips it, every proxy on the way sees bytes."""


class Pinger:
    """Sends a comment every `interval` seconds until it is stopped; a scope around the wait for the first token.

    It is a task of its own, made only where an operator switched pings on.
    """

    def __init__(self, ping: Callable[[], Awaitable[None]], interval: float, clock: Clock) -> None:
        self._ping = ping
        self._interval = interval
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Return when no ping is being sent and none will be: what follows begins at an event's start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def abandon(self) -> None:
        """Stop without waiting, for the end of a request that unwinds."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._interval)
            await self._ping()
