"""The prober against real servers: what it finds, what it publishes, and when it looks again."""

import asyncio
from dataclasses import replace

import pytest

from gateway.backends.circuit import Standing, Why
from gateway.backends.health import State
from gateway.backends.probed import Probed
from gateway.backends.prober import SOON_SECS, TICK_SECS
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster, build_roster
from gateway.core.fleet import Backend
from tests.backends.scripted import ScriptedBackend
from tests.backends.watching import CLOSED_PORT, KEY, Watch

pytestmark = pytest.mark.anyio


async def test_a_round_publishes_a_verdict_on_every_backend(backend: ScriptedBackend) -> None:
    watch = Watch(CLOSED_PORT, backend.url)
    await watch.probes()
    assert watch.verdict("chat0").reason is Reason.UNREACHABLE
    assert (watch.verdict("chat1").state, watch.verdict("chat1").max_model_len) == (State.HEALTHY, 8192)
    assert watch.prober.has_looked


async def test_before_the_first_probe_has_ended_the_board_says_so_and_the_prober_beats(
    backend: ScriptedBackend,
) -> None:
    backend.silent = True
    watch = Watch(backend.url, backend_probe_timeout_secs=50)
    assert watch.board.last_beat() == 0
    async with watch.running():
        await watch.until(lambda: backend.asked)
        assert (watch.verdict().state, watch.verdict().reason) == (State.LOADING, Reason.NOT_PROBED)
        assert watch.board.last_beat() > 0
        assert not watch.prober.has_looked
        before = watch.board.last_beat()
        await watch.until(lambda: watch.board.last_beat() > before)


async def test_a_silent_backend_does_not_hold_up_the_verdict_on_another(backend: ScriptedBackend) -> None:
    async with ScriptedBackend(silent=True) as silent:
        watch = Watch(silent.url, backend.url, backend_probe_timeout_secs=50)
        async with watch.running():
            await watch.until(lambda: watch.told)
            assert watch.states() == ["chat1 healthy ok"]


async def test_it_follows_a_backend_through_loading_health_death_and_return(backend: ScriptedBackend) -> None:
    await backend.stop()
    watch = Watch(backend.url)
    await watch.probes(2)
    await backend.start()
    await watch.probes(2)
    await backend.stop()
    await watch.probes(2)
    await backend.start()
    await watch.probes(4)
    assert watch.states() == [
        "chat0 loading unreachable",
        "chat0 healthy ok",
        "chat0 down unreachable",
        "chat0 down recovering",
        "chat0 healthy ok",
    ]


async def test_one_that_is_well_is_looked_at_in_the_interval_and_one_that_is_not_every_second(
    backend: ScriptedBackend,
) -> None:
    watch = Watch(backend.url)
    async with watch.running():
        await watch.next_probe()
        assert await watch.next_probe() == pytest.approx(watch.settings.backend_probe_interval_secs, abs=2 * TICK_SECS)
        backend.health = 503
        await watch.next_probe()
        assert watch.verdict().state is State.DOWN
        assert await watch.next_probe() == pytest.approx(SOON_SECS, abs=2 * TICK_SECS)


async def test_a_suspected_backend_is_probed_at_once(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)
    async with watch.running():
        await watch.next_probe()
        await backend.stop()
        watch.board.suspect(0, watch.time.now + 1)
        assert await watch.next_probe() <= 2 * TICK_SECS
        assert watch.verdict().state is State.DOWN


async def test_a_backend_that_says_that_it_drains_is_draining_at_once_and_healthy_when_it_may_be_tried_again(
    backend: ScriptedBackend,
) -> None:
    watch = Watch(backend.url)
    async with watch.running():
        await watch.next_probe()
        watch.breaker.trip(0, Why.DRAINING)
        assert await watch.next_probe() <= 2 * TICK_SECS
        assert (watch.verdict().state, watch.verdict().reason) == (State.DRAINING, Reason.DRAINING)
        await watch.until(lambda: watch.breaker.standing(0) is Standing.HALF_OPEN, step=1.0)
        await watch.until(lambda: watch.verdict().state is State.HEALTHY)


async def test_one_that_died_and_came_back_begins_with_one_request(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)
    await watch.probes()
    assert watch.breaker.standing(0) is Standing.CLOSED
    await backend.stop()
    await watch.probes()
    await backend.start()
    await watch.probes(2)
    assert watch.breaker.standing(0) is Standing.CLOSED
    await watch.probes()
    assert watch.breaker.standing(0) is Standing.HALF_OPEN


async def test_one_that_came_up_after_its_time_to_load_begins_with_one_request_too() -> None:
    async with ScriptedBackend() as backend:
        await backend.stop()
        watch = Watch(backend.url, backend_loading_secs=1, backend_up_after=1)
        assert (await watch.probes(2)).state is State.DOWN
        await backend.start()
        assert (await watch.probes()).state is State.HEALTHY
        assert watch.breaker.standing(0) is Standing.HALF_OPEN


async def test_whoever_is_told_hears_how_many_requests_of_ours_are_there(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)
    watch.board.begin(0)
    watch.board.begin(0)
    await watch.probes()
    assert watch.told[-1].ours == 2


async def test_a_fault_of_ours_costs_one_probe_and_is_logged(
    backend: ScriptedBackend, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(backend.url)

    def fail(_: Probed) -> None:
        watch.prober._on_probe = watch.told.append
        raise RuntimeError("a fault of ours")

    watch.prober._on_probe = fail
    async with watch.running():
        await watch.until(lambda: watch.told)
    assert [record.message for record in caplog.records] == ["probe_failed"]


async def test_after_a_fault_of_ours_it_is_probed_again_in_a_second(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)

    def fail(_: Probed) -> None:
        raise RuntimeError("a fault of ours")

    watch.prober._on_probe = fail
    await watch.probes()
    assert [watched.due - watch.time.now for watched in watch.prober._watched] == [SOON_SECS]


async def test_leaving_in_mid_probe_leaves_no_task_behind(backend: ScriptedBackend) -> None:
    backend.silent = True
    before = asyncio.all_tasks()
    watch = Watch(backend.url, backend_probe_timeout_secs=50)
    async with watch.running():
        await watch.until(lambda: backend.asked)
    left = {task for task in asyncio.all_tasks() - before if "prob" in f"{task.get_name()} {task.get_coro()!r}"}
    assert left == set()


async def test_who_joins_is_probed_at_once_and_who_leaves_is_not_probed_any_more(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)
    known = build_roster(watch.settings)
    async with ScriptedBackend(key=KEY) as other:
        joined = Backend("chat9", other.url, column=63)
        more = Roster((replace(known.groups[0], backends=(*known.groups[0].backends, joined)),))
        async with watch.running():
            await watch.next_probe()
            watch.board.follow(more.placed())
            watch.breaker.failed(63)  # what somebody else left in that column
            watch.prober.follow(more)
            assert watch.verdict("chat9").reason is Reason.NOT_PROBED
            while watch.verdict("chat9").state is not State.HEALTHY:
                await watch.next_probe()
            assert watch.board.circuits.failures[63] == 0
            watch.prober.follow(known)
            assert watch.verdict("chat9").reason is Reason.NOT_PROBED
            asked = len(other.asked)
            for _ in range(3):
                await watch.next_probe()
            assert len(other.asked) == asked
            assert watch.verdict().state is State.HEALTHY


async def test_who_leaves_in_mid_probe_is_not_judged_by_it(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url, backend_probe_timeout_secs=50)
    known = build_roster(watch.settings)
    async with ScriptedBackend(key=KEY, silent=True) as other:
        joined = Backend("chat9", other.url, column=63)
        more = Roster((replace(known.groups[0], backends=(*known.groups[0].backends, joined)),))
        async with watch.running():
            watch.board.follow(more.placed())
            watch.prober.follow(more)
            await watch.until(lambda: other.asked)
            (task,) = [one.task for one in watch.prober._watched if one.backend == joined]
            watch.prober.follow(known)
            assert task is not None
            await asyncio.wait([task], timeout=5)
            assert task.cancelled()
            assert watch.verdict("chat9").reason is Reason.NOT_PROBED


async def test_the_same_backend_keeps_what_is_known_of_it_when_others_come(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)
    known = build_roster(watch.settings)
    before = await watch.probes()
    weighed = tuple(replace(one, weight=7) for one in known.groups[0].backends)
    watch.prober.follow(Roster((replace(known.groups[0], backends=weighed),)))
    assert watch.verdict() == before
    assert [watched.backend.weight for watched in watch.prober._watched] == [7]
