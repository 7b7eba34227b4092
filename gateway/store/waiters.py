"""Who of this process waits for a slot? Futures by token, woken at most once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from gateway.core.clock import Clock

LOOK_SECS = 0.25
"""Between two looks of those who wait for a seat, while they are few: a backend that returns is used so soon."""
LOOKS_PER_SEC = 25
"""Of all who wait in a worker, at some 80 us a look."""


class Waiters:
    """The requests of one worker that stand in a queue.

    Waking says only "look now": whether a slot is held is the store's record to tell, so a wake that is lost, doubled
    or late can neither leak nor invent one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._futures: dict[int, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    def __iter__(self) -> Iterator[int]:
        """The waiting tokens, oldest first."""
        return iter(self._futures)

    async def wait(self, token: int, patience: float) -> float:
        """Return when `token` is woken or after `patience` seconds, whichever comes first: the seconds waited."""
        loop = asyncio.get_running_loop()
        since = self._clock.monotonic()
        future = self._futures[token] = loop.create_future()
        timer = loop.call_later(patience, self.wake, token)
        try:
            await future
        finally:
            timer.cancel()
            del self._futures[token]
        return self._clock.monotonic() - since

    def wake(self, token: int) -> None:
        """Let `token` look; nothing happens when it does not wait here."""
        future = self._futures.get(token)
        if future is not None and not future.done():
            future.set_result(None)

    def wake_all(self) -> None:
        """Let everybody look."""
        for token in list(self._futures):
            self.wake(token)


class Lookout:
    """Those of one worker who wait for a seat, and look now and then whom they may ask by now.

    They look in turns, so that what it costs has a bound however many wait; and whoever may ask others than before lets
    all look, so that nobody waits for its turn to hear of it.

    Args:
        wake: lets a waiter look.
    """

    def __init__(self, wake: Callable[[int], None]) -> None:
        self._wake = wake
        self._turns: dict[int, None] = {}  # whose turn is next stands first
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = float("-inf")

    async def wait(
        self, token: int, wait: Callable[[float], Awaitable[float]], look: Callable[[], bool], patience: float
    ) -> float:
        """Wait until `look` finds nothing more to wait for, or for `patience` seconds: the seconds waited.

        It looks each time that `wait`, which is told for how long, returns.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + patience
        waited = 0.0
        self._turns[token] = None
        if self._timer is None:
            self._timer = loop.call_later(self._pause(), self._next, loop)
        try:
            while True:
                waited += await wait(max(0.0, ends - loop.time()))
                if look() or loop.time() >= ends:
                    return waited
        finally:
            del self._turns[token]

    def tell(self) -> None:
        """Somebody may ask others than before: so may all, perhaps. Not more often than once in LOOK_SECS."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= LOOK_SECS:
            self._told_at = now
            for token in tuple(self._turns):
                self._wake(token)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._turns:
            token = next(iter(self._turns))
            del self._turns[token]
            self._turns[token] = None
            self._wake(token)
            self._timer = loop.call_later(self._pause(), self._next, loop)

    def _pause(self) -> float:
        """Seconds between two turns: each of a few looks once in LOOK_SECS."""
        return max(LOOK_SECS / len(self._turns), 1 / LOOKS_PER_SEC)
