"""Two workers share what is kept and in flight, and nobody waits for one that is gone."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import lmdb
import pytest
from anyio.lowlevel import checkpoint

from gateway.cache import response_cache
from gateway.cache.host import PREFIX, LoneHost, SharedHost
from gateway.cache.kept import Answer, Kept
from gateway.cache.response_cache import Flight, Following, ResponseCache
from gateway.cache.settings import CacheSettings
from gateway.cache.verdict import CUT, WORKER_DIED, Verdict
from gateway.store import environment
from gateway.store.tree import Environment
from tests.core.hand_time import HandTime
from tests.store.host import Shared

pytestmark = pytest.mark.anyio

KEY = b"k" * 32
ANSWER = Answer(b"application/json", b'{"data":[]}')
SIZE = 1024 * 1024
FAILURE = Verdict(502, "bad_gateway", "server_error", "It broke off.")
REFUSAL = Verdict(400, "backend_400", content_type=b"application/json", body=b"{}")
FOR_EVER = 1e9
OPENED = environment.opened


@dataclass
class Worker:
    """One of a host's workers."""

    cache: ResponseCache
    host: SharedHost
    changes: list[Kept] = field(default_factory=list)

    def ask(self) -> Answer | Flight | Following | None:
        return self.cache.ask(KEY, FOR_EVER, lambda: None)

    def lead(self) -> Flight:
        flight = self.ask()
        assert isinstance(flight, Flight)
        return flight

    def follow(self) -> "asyncio.Task[object]":
        following = self.ask()
        assert isinstance(following, Following)
        return asyncio.get_running_loop().create_task(following.outcome())

    def die(self) -> None:
        """As a process does that is killed: the kernel closes its socket."""
        self.host._doorbell.close()
        self.cache._open = False


@dataclass
class Workers:
    folder: Path
    clock: HandTime
    stack: ExitStack
    opened: dict[Path, Environment] = field(default_factory=dict)

    def share(self, directory: Path, size: int) -> Shared:
        """One environment for all workers of a directory: LMDB opens a file once in each process."""
        if directory not in self.opened:
            self.opened[directory] = cast("Environment", OPENED(directory, size))
            self.stack.callback(self.opened[directory].close)
        return Shared(self.opened[directory])

    def make(self, **settings: object) -> Worker:
        chosen = CacheSettings.model_validate({"cache_max_bytes": SIZE, **settings})
        host = SharedHost(self.folder, chosen.cache_max_bytes)
        changes: list[Kept] = []
        cache = self.stack.enter_context(ResponseCache(chosen, host, self.clock, changes.append))
        return Worker(cache, host, changes)


@pytest.fixture
async def workers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workers]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, ExitStack() as stack:
        made = Workers(Path(folder), HandTime(), stack)
        monkeypatch.setattr(environment, "opened", made.share)
        yield made


@pytest.fixture
def never_ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is noticed but by a datagram."""
    monkeypatch.setattr(response_cache, "TICK_SECS", 3600.0)


async def patiently(task: "asyncio.Task[object]") -> object:
    async with asyncio.timeout(30):
        return await task


async def begun(*tasks: "asyncio.Task[object]") -> None:
    """Return when they wait."""
    for _ in tasks:
        await checkpoint()


@pytest.mark.usefixtures("never_ticking")
async def test_those_who_wait_at_any_worker_are_woken_by_a_datagram(workers: Workers) -> None:
    one, other = workers.make(), workers.make()
    flight = one.lead()
    waiting = [one.follow(), other.follow(), other.follow()]
    flight.land(ANSWER)
    assert [await patiently(task) for task in waiting] == [ANSWER] * 3
    assert one.ask() == other.ask() == ANSWER
    assert len(one.changes) == 1


async def test_a_lost_datagram_costs_a_tick(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = workers.make(), workers.make()
    monkeypatch.setattr(one.host, "ring", lambda *_: None)
    flight, task = one.lead(), other.follow()
    flight.land(ANSWER)
    assert await patiently(task) == ANSWER


@pytest.mark.usefixtures("never_ticking")
async def test_one_who_waits_takes_over_from_a_leader_that_failed_and_a_second_failure_is_everybodys(
    workers: Workers,
) -> None:
    one, other = workers.make(), workers.make()
    flight = one.lead()
    first, second, third = other.follow(), one.follow(), other.follow()
    flight.fail(CUT)
    again = await patiently(first)
    assert isinstance(again, Flight)
    await begun(second, third)
    assert not second.done()
    again.fail(FAILURE)
    assert [await patiently(task) for task in (second, third)] == [FAILURE] * 2
    assert isinstance(one.ask(), Flight)


async def test_a_refusal_of_the_request_itself_is_not_tried_again(workers: Workers) -> None:
    one = workers.make()
    flight, task = one.lead(), one.follow()
    flight.fail(REFUSAL)
    assert await patiently(task) == REFUSAL


async def test_an_answer_that_is_not_for_sharing_sends_those_who_wait_on_their_own_way(workers: Workers) -> None:
    one = workers.make(cache_max_answer_bytes=10)
    for answer in (None, ANSWER):
        flight, task = one.lead(), one.follow()
        flight.land(answer)
        assert await patiently(task) is None
    assert one.changes == []


async def test_a_killed_leader_is_replaced(workers: Workers) -> None:
    one, other = workers.make(), workers.make()
    one.lead()
    task = other.follow()
    one.die()
    flight = await patiently(task)
    assert isinstance(flight, Flight)
    flight.land(ANSWER)
    assert other.ask() == ANSWER


async def test_a_body_that_kills_two_workers_kills_no_third(workers: Workers) -> None:
    one, other, last = workers.make(), workers.make(), workers.make()
    one.lead()
    first = other.follow()
    second = last.follow()
    one.die()
    assert isinstance(await patiently(first), Flight)
    other.die()
    assert await patiently(second) == WORKER_DIED


async def test_what_a_dead_worker_led_is_forgotten_by_the_next_that_comes(workers: Workers) -> None:
    one, _ = workers.make(), workers.make()
    one.lead()
    one.die()
    assert isinstance(workers.make().ask(), Flight)


async def test_a_worker_that_leaves_gives_up_what_it_led(workers: Workers) -> None:
    one, other = workers.make(), workers.make()
    one.lead()
    task = other.follow()
    one.cache.close()
    assert isinstance(await patiently(task), Flight)


@pytest.mark.usefixtures("never_ticking")
async def test_a_deserted_leader_runs_on_until_the_last_who_waits_leaves(workers: Workers) -> None:
    one, other = workers.make(), workers.make()
    flight = one.lead()
    deserted = asyncio.Event()
    flight.on_deserted = deserted.set
    waiting = [other.follow(), other.follow()]
    await begun(*waiting)
    assert flight.desert()
    for task in waiting:
        assert not deserted.is_set()
        task.cancel()
        await asyncio.wait([task])
    async with asyncio.timeout(30):
        await deserted.wait()
    assert isinstance(other.ask(), Flight)


async def test_a_leader_for_whom_nobody_waits_does_not_run_on(workers: Workers) -> None:
    one = workers.make()
    assert not one.lead().desert()
    assert isinstance(one.ask(), Flight)


async def test_one_that_leaves_as_it_is_made_the_leader_hands_on(workers: Workers) -> None:
    one = workers.make()
    flight, first, second = one.lead(), one.follow(), one.follow()
    await begun(first, second)
    flight.fail(CUT)
    first.cancel()
    assert isinstance(await patiently(second), Flight)


async def test_who_waits_too_long_is_ended(workers: Workers) -> None:
    one = workers.make()
    one.lead()
    expired = asyncio.Event()
    following = one.cache.ask(KEY, workers.clock.now + 5, expired.set)
    assert isinstance(following, Following)
    task = asyncio.get_running_loop().create_task(following.outcome())
    await begun(task)
    workers.clock.advance(5)
    async with asyncio.timeout(30):
        await expired.wait()
    task.cancel()


async def test_an_answer_is_forgotten_when_its_time_is_over(workers: Workers) -> None:
    one = workers.make(cache_ttl_secs=60)
    one.lead().land(ANSWER)
    workers.clock.advance(59.9)
    assert one.ask() == ANSWER
    workers.clock.advance(0.1)
    assert isinstance(one.ask(), Flight)


async def test_those_who_waited_get_the_answer_however_short_it_is_kept(workers: Workers) -> None:
    one, other = workers.make(cache_ttl_secs=0.001), workers.make(cache_ttl_secs=0.001)
    flight, task = one.lead(), other.follow()
    flight.land(ANSWER)
    workers.clock.advance(1)
    assert await patiently(task) == ANSWER
    assert isinstance(other.ask(), Flight)


async def test_all_workers_forget_at_once(workers: Workers) -> None:
    one, other = workers.make(), workers.make()
    one.lead().land(ANSWER)
    other.cache.clear()
    assert isinstance(one.ask(), Flight)


async def test_gateways_with_other_bounds_share_nothing_and_the_last_of_them_leaves_no_memory(workers: Workers) -> None:
    one, other = workers.make(), workers.make(cache_max_bytes=2 * SIZE)
    one.lead().land(ANSWER)
    assert isinstance(other.ask(), Flight)
    one.cache.close()
    workers.make(cache_max_bytes=3 * SIZE)
    assert sorted(path.parent.name for path in workers.folder.glob(f"{PREFIX}*/data.mdb")) == [
        other.host._directory.name,
        f"{PREFIX}1-{3 * SIZE:x}",
    ]


async def test_where_there_is_no_room_requests_run_as_if_there_were_no_cache(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    one = workers.make(cache_max_bytes=1 << 50)
    assert one.ask() is None
    one.cache.keep(KEY, ANSWER)
    assert [record.message for record in caplog.records] == ["cache_not_opened"]


async def test_a_map_that_fails_holds_nobody_up(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    one = workers.make()
    flight, task = one.lead(), one.follow()
    await begun(task)

    class Broken:
        def begin(self, *_: object) -> None:
            raise lmdb.MapFullError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(one.host, "_env", Broken())
        flight.land(ANSWER)
        assert one.ask() is None
        assert await patiently(task) is None
    async with asyncio.timeout(30):
        while not isinstance(found := one.ask(), Flight):  # the flight that could not be ended is ended by a tick
            if isinstance(found, Following):
                leaving = asyncio.get_running_loop().create_task(found.outcome())
                await begun(leaving)
                leaving.cancel()
                await asyncio.wait([leaving])


async def test_one_process_alone_has_a_map_without_a_name() -> None:
    changes: list[Kept] = []
    with ResponseCache(CacheSettings(), LoneHost(SIZE), HandTime(), changes.append) as cache:
        flight = cache.ask(KEY, FOR_EVER, lambda: None)
        assert isinstance(flight, Flight)
        flight.land(ANSWER)
        assert cache.ask(KEY, FOR_EVER, lambda: None) == ANSWER
