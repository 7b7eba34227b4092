"""What time is it? Durations run on the monotonic clock, times of day only appear in logs and quotas."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time as an argument, so that a test can move it by hand."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point, the same for every process of this host (CLOCK_MONOTONIC)."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 UTC; may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task for that long on this clock."""
        ...


class SystemClock:
    """The host's clocks."""

    monotonic = staticmethod(time.monotonic)
    """Seconds of CLOCK_MONOTONIC, which all processes of a host share; the function itself, as it is asked often."""

    wall = staticmethod(time.time)  # noqa: TID251 -- the one place that reads the wall clock
    """Seconds since 1970 UTC; the function itself, as each request asks twice."""

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)  # noqa: TID251 -- the one place that sleeps
