"""Time that a test moves by hand: both clocks, sleeping, and the event loop's timers."""

import asyncio
import heapq
import itertools
from collections.abc import Callable


class HandTimer:
    """What `call_later` gives; stands in for `asyncio.TimerHandle`."""

    def __init__(self, when: float, callback: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self.when = when
        self.cancelled = False
        self._callback = callback
        self._arguments = arguments

    def cancel(self) -> None:
        self.cancelled = True

    def run(self) -> None:
        if not self.cancelled:
            self._callback(*self._arguments)


class HandTime:
    """A `core.clock.Clock` and the part of an event loop that sets timers; both stand still until `advance`.

    Attributes:
        now: seconds on the monotonic clock.
        wall_now: seconds since 1970.
        timers_set: how many timers were ever asked for.
        early: by how many seconds timers fire too early, as those of a coarse loop do.
    """

    def __init__(self, now: float = 1000.0, wall_now: float = 1_795_223_042.5) -> None:
        self.now = now
        self.wall_now = wall_now
        self.timers_set = 0
        self.early = 0.0
        self._timers: list[tuple[float, int, HandTimer]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.wall_now

    async def sleep(self, seconds: float) -> None:
        awake = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not awake.done():
                awake.set_result(None)

        timer = self.call_later(seconds, wake)
        try:
            await awake
        finally:
            timer.cancel()

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: object) -> HandTimer:
        timer = HandTimer(self.now + delay, callback, arguments)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        self.timers_set += 1
        return timer

    @property
    def pending(self) -> list[float]:
        """The moments of the timers that are still to fire, in seconds from now."""
        return sorted(when - self.now for when, _, timer in self._timers if not timer.cancelled)

    def advance(self, seconds: float) -> None:
        """Move on, and let every timer fire at its own moment."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] - self.early <= end:
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when - self.early)
            timer.run()
        self.now = end
