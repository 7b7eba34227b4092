"""A heart beats once a second, and says by how much it came late."""

import asyncio
import time

import pytest

from gateway.server import pulse
from gateway.server.pulse import Heart, Pulse

pytestmark = pytest.mark.anyio


async def test_a_beat_says_by_how_much_it_came_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT_SECS", 0.05)
    beats: asyncio.Queue[float] = asyncio.Queue()
    with Pulse() as seen:
        heart = Heart(seen.descriptor)
        first = seen.last()
        heart.on_beat = beats.put_nowait
        assert await asyncio.wait_for(beats.get(), 10) >= 0
        assert seen.last() > first
        time.sleep(0.5)  # noqa: ASYNC251 -- the loop is to stand still
        assert await asyncio.wait_for(beats.get(), 10) >= 0.4
        heart.on_beat = lambda _: None


async def test_a_listener_that_fails_ends_no_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT_SECS", 0.01)
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fails(_: float) -> None:
        raise OSError

    with Pulse() as seen:
        Heart(seen.descriptor).on_beat = fails
        async with asyncio.timeout(10):
            while len(failures) < 3:  # noqa: ASYNC110 -- a loop's handler tells nobody
                await asyncio.sleep(0.005)  # noqa: TID251 -- a heart keeps real time
    loop.set_exception_handler(None)
