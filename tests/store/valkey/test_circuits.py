"""What hosts tell one another of backends: each word once, one host's trial at a time, and nothing for ever."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.store.circuits import AwayError, Doubt
from gateway.store.settings import StoreSettings
from gateway.store.valkey.circuits import ValkeyCircuits
from tests.store.conftest import HandClock, tell_time_by
from tests.store.valkey.server import Server, running

pytestmark = pytest.mark.anyio

URL = "http://10.0.0.5:8000"
NewHost = Callable[[], ValkeyCircuits]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
async def new_host(
    server: Server, clock: HandClock, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[NewHost]:
    tell_time_by(clock, server, monkeypatch)
    settings = StoreSettings(limiter_path=directory, redis_url=SecretStr(server.url), redis_timeout_ms=1000)
    with ExitStack() as stack:

        def make() -> ValkeyCircuits:
            made = ValkeyCircuits(settings)
            stack.callback(made.close)
            return made

        yield make


async def opened(host: ValkeyCircuits, *, seconds: float = 30, trial: bool = False, why: str = "failures") -> int:
    return await host.opened(URL, seconds=seconds, pause=seconds, why=why, trial=trial)


async def test_what_one_host_opens_the_others_see_with_what_is_left_of_it(new_host: NewHost, clock: HandClock) -> None:
    one, other = new_host(), new_host()
    assert await other.look("") is None
    version = await opened(one)
    clock.now += 12
    told = await other.look("")
    assert told is not None
    seen = told.circuits[URL]
    assert (seen.version, seen.open, seen.pause, seen.why) == (version, True, 30, "failures")
    assert seen.seconds == pytest.approx(18)
    assert await other.look(told.stamp) is None


async def test_who_opens_what_is_open_is_told_so(new_host: NewHost) -> None:
    one, other = new_host(), new_host()
    assert await opened(one)
    assert not await opened(other)
    assert not await opened(other, seconds=60, trial=True)  # a trial that was not its own
    assert not await opened(other, seconds=20, why="draining")
    assert await opened(other, seconds=60, why="draining")


async def test_one_host_at_a_time_makes_the_trial_until_its_time_is_over(new_host: NewHost, clock: HandClock) -> None:
    one, other = new_host(), new_host()
    assert not await one.claim(URL, 32)  # it is closed
    await opened(one)
    assert await one.claim(URL, 32)
    assert not await other.claim(URL, 32)
    clock.now += 33
    assert await other.claim(URL, 32)
    assert not await one.claim(URL, 32)
    await other.give_back(URL)
    assert await one.claim(URL, 32)


async def test_only_whose_trial_it_is_decides(new_host: NewHost) -> None:
    one, other = new_host(), new_host()
    version = await opened(one)
    assert await other.claim(URL, 32)
    assert not await one.closed(URL, version)
    assert not await opened(one, seconds=60, trial=True)
    again = await opened(other, seconds=60, trial=True)
    assert again > version
    assert await one.claim(URL, 32)
    assert await one.closed(URL, 0)
    told = await other.look("")
    assert told is not None
    assert not told.circuits[URL].open


async def test_who_was_cut_off_and_saw_it_well_closes_what_nobody_else_has_changed(new_host: NewHost) -> None:
    one, other = new_host(), new_host()
    version = await opened(one)
    assert not await other.closed(URL, version - 1)
    assert await other.closed(URL, version)


async def test_a_doubt_is_heard_by_the_others_until_it_is_withdrawn_or_old(new_host: NewHost, clock: HandClock) -> None:
    one, other = new_host(), new_host()

    async def doubts(host: ValkeyCircuits) -> list[Doubt]:
        told = await host.look("")
        return [] if told is None else list(told.doubts)

    await one.doubt(URL, "stalled", 15)
    assert await doubts(one) == []
    assert [(doubt.backend, doubt.reason) for doubt in await doubts(other)] == [(URL, "stalled")]
    await one.doubt(URL, "", 0)
    assert await doubts(other) == []
    await one.doubt(URL, "stalled", 15)
    clock.now += 16
    assert await doubts(other) == []


async def test_nothing_stays_for_ever(new_host: NewHost, server: Server, clock: HandClock) -> None:
    host = new_host()
    for number in range(50):
        url = f"http://10.0.0.{number}:8000"
        version = await host.opened(url, seconds=30, pause=30, why="failures", trial=False)
        await host.closed(url, version)
        await host.doubt(url, "timeout", 15)
        clock.now += 700
    await host.look("")
    [key] = server.ask("KEYS", "*{circuits}*")
    assert server.ask("HLEN", key) < 6
    assert 0 < server.ask("TTL", key) <= 86400


async def test_a_server_that_lost_all_has_another_stamp(new_host: NewHost, server: Server, clock: HandClock) -> None:
    one = new_host()
    await opened(one)
    before = await one.look("")
    server.ask("FLUSHALL")
    clock.now += 1
    await opened(one)
    after = await one.look("")
    assert before is not None
    assert after is not None
    assert before.stamp.partition(":")[0] != after.stamp.partition(":")[0]


async def test_a_server_that_is_gone_is_said_at_once(new_host: NewHost, server: Server, clock: HandClock) -> None:
    one = new_host()
    await opened(one)
    server.stop()
    try:
        with pytest.raises(AwayError):
            await one.look("")
    finally:
        server.start()
        server.ask("SET", "now", repr(clock.now))
    assert await one.look("") is None
