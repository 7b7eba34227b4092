"""The host's clocks: one that never jumps, and the time of day."""

from datetime import UTC, datetime

import pytest

from gateway.core.clock import SystemClock

pytestmark = pytest.mark.anyio


async def test_sleeping_takes_that_long_on_the_monotonic_clock() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.009  # the loop's timers count whole milliseconds


def test_the_wall_clock_shows_the_time_of_day() -> None:
    assert abs(SystemClock().wall() - datetime.now(UTC).timestamp()) < 60
