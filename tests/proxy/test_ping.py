"""Comments go out in time while a first token is awaited, and none once it is there."""

import asyncio

import pytest
from anyio.lowlevel import checkpoint

from gateway.proxy.ping import PING, Pinger
from tests.core.hand_time import HandTime

pytestmark = pytest.mark.anyio


class Pings:
    """Counts pings; while `room` is cleared each stays under way, as at a client that does not read."""

    def __init__(self, interval: float = 5.0) -> None:
        self.begun = self.done = 0
        self.room = asyncio.Event()
        self.room.set()
        self.time = HandTime()
        self.pinger = Pinger(self._ping, interval, self.time)

    async def _ping(self) -> None:
        self.begun += 1
        await self.room.wait()
        self.done += 1

    async def after(self, seconds: float) -> None:
        for _ in range(3):
            await checkpoint()
        self.time.advance(seconds)
        for _ in range(3):
            await checkpoint()


def test_a_ping_is_a_comment() -> None:
    assert PING.startswith(b":")
    assert PING.endswith(b"\n\n")


async def test_one_goes_out_each_interval_and_none_before() -> None:
    pings = Pings()
    pings.pinger.start()
    await pings.after(4.9)
    assert pings.done == 0
    for _ in range(3):
        await pings.after(5)
    assert pings.done == 3
    await pings.pinger.stop()


async def test_none_follows_a_stop() -> None:
    pings = Pings()
    pings.pinger.start()
    await pings.after(5)
    await pings.pinger.stop()
    await pings.after(50)
    assert (pings.begun, pings.time.pending) == (1, [])
    await pings.pinger.stop()
    pings.pinger.abandon()


async def test_none_follows_a_stop_that_meets_the_very_moment() -> None:
    pings = Pings()
    pings.pinger.start()
    await pings.after(0)
    pings.time.advance(5)  # it is awake, and has not run yet
    await pings.pinger.stop()
    await pings.after(5)
    assert pings.begun == 0


async def test_a_stop_ends_the_ping_that_is_under_way() -> None:
    pings = Pings()
    pings.room.clear()
    pings.pinger.start()
    await pings.after(5)
    assert (pings.begun, pings.done) == (1, 0)
    await pings.pinger.stop()
    pings.room.set()
    await pings.after(50)
    assert (pings.begun, pings.done) == (1, 0)


async def test_an_abandoned_ping_does_no_more() -> None:
    pings = Pings()
    pings.room.clear()
    pings.pinger.start()
    await pings.after(5)
    pings.pinger.abandon()
    pings.room.set()
    await pings.after(50)
    assert (pings.begun, pings.done) == (1, 0)


async def test_a_pinger_that_never_began_ends_without_a_word() -> None:
    pings = Pings()
    before = asyncio.all_tasks()
    await pings.pinger.stop()
    pings.pinger.abandon()
    assert asyncio.all_tasks() == before
    assert pings.begun == 0


async def test_a_request_cut_while_it_stops_a_ping_leaves_no_task() -> None:
    pings = Pings()
    pings.room.clear()
    pings.pinger.start()
    await pings.after(5)
    before = asyncio.all_tasks()
    stopping = asyncio.create_task(pings.pinger.stop())
    await checkpoint()
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    pings.pinger.abandon()
    await pings.after(0)
    assert asyncio.all_tasks() < before
