"""Who of this process waits for a slot? Futures by token, woken at most once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from gateway.core.clock import Clock

LOOK_SECS = 0.25
"""Between two looks of who waits for a seat: a backend that returns is used so soon, at some 25 us a look."""


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


async def wait_looking(wait: Callable[[float], Awaitable[float]], look: Callable[[], bool], patience: float) -> float:
    """Wait until `look` finds nothing more to wait for, or for `patience` seconds: the seconds waited.

    It looks each time that `wait`, which is told for how long, returns; that is every LOOK_SECS at the least.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience
    waited = 0.0
    while True:
        waited += await wait(max(0.0, min(LOOK_SECS, ends - loop.time())))
        if look() or loop.time() >= ends:
            return waited
