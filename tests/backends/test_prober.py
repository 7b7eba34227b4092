"""The prober against real servers: what it finds, what it publishes, and when it looks again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.backends.availability import Availability, Choice
from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.circuit import Standing, Why
from gateway.backends.health import BackendHealth, State
from gateway.backends.heritage import Heritage
from gateway.backends.probed import Probed
from gateway.backends.prober import ROUNDS_SECS, SOON_SECS, TICK_SECS, Prober
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster, build_roster
from gateway.backends.settings import BackendSettings
from gateway.core.fleet import Backend
from tests.backends.scripted import ScriptedBackend, page
from tests.core.hand_time import HandTime

pytestmark = pytest.mark.anyio

KEY = "sk-backends-4f2a"
CLOSED_PORT = "http://127.0.0.1:9"
LIMIT = 30.0


class Watch:
    """A prober of one group, its board, and a clock that stands still until the test moves it."""

    def __init__(self, *urls: str, before: "Watch | None" = None, **fields: object) -> None:
        required = {"backend_api_key": KEY, "chat_backends": urls, "chat_aliases": (), "backend_stall_secs": LIMIT}
        self.settings = BackendSettings.model_validate({**required, **fields})
        self.time: HandTime = HandTime() if before is None else before.time
        self.board = Board([backend for _, backend in build_roster(self.settings).backends()])
        self.breaker = Breaker(self.board, BreakerSettings(), self.time)
        self.told: list[Probed] = []
        stall = self.settings.backend_stall_secs
        self.heritage: Heritage = Heritage(
            self.board, stall, self.time.now, None if before is None else before.heritage
        )
        self.prober = Prober(self.settings, self.heritage, self.breaker, self.time, on_probe=self.told.append)

    def verdict(self, name: str = "chat0") -> BackendHealth:
        health = self.board.verdict(name)
        assert health is not None
        return health

    def states(self) -> list[str]:
        """What was told, one line for each change."""
        return [f"{one.backend.name} {one.after.state} {one.after.reason}" for one in self.told if one.changed]

    async def probes(self, count: int = 1, each: float = 1.0) -> BackendHealth:
        """So many rounds, with the clock moved before each."""
        for _ in range(count):
            self.time.advance(each)
            await asyncio.gather(*(self.prober._probe(watched) for watched in self.prober._watched))
        return self.verdict()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The prober at work, as the clock is moved."""
        task = asyncio.create_task(self.prober.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def next_probe(self) -> float:
        """Move the clock until one more probe has ended; the seconds it took."""
        count = len(self.told) + 1
        return await self.until(lambda: len(self.told) == count)

    async def until(self, condition: Callable[[], object], step: float = TICK_SECS) -> float:
        """Move the clock step by step until that is so, with probes at their ends before each; the seconds it took."""
        before = self.time.now
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)  # noqa: TID251 -- the prober's turn
                probes = [watched.task for watched in self.prober._watched if watched.task is not None]
                if probes:
                    await asyncio.wait(probes, timeout=0.05)
                if not condition():
                    self.time.advance(step)
        return self.time.now - before


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


async def test_an_engine_that_hangs_while_its_server_says_200_is_down_after_the_limit_and_back_when_it_moves(
    backend: ScriptedBackend,
) -> None:
    watch = Watch(backend.url)
    backend.metrics = page(running=4, generated=100)
    watch.board.begin(0)
    await watch.probes(int(LIMIT))
    assert watch.verdict().state is State.HEALTHY
    await watch.probes(2)
    assert (watch.verdict().state, watch.verdict().reason) == (State.DOWN, Reason.STALLED)
    backend.metrics = page(running=4, generated=101)
    assert (await watch.probes()).reason is Reason.RECOVERING
    backend.metrics = page(running=4, generated=102)
    assert (await watch.probes(2)).state is State.HEALTHY


@pytest.mark.parametrize("ends", ["closed", "unhealthy"])
async def test_figures_that_froze_take_the_last_backend_of_a_group_out_of_nothing_and_its_end_does(
    backend: ScriptedBackend, ends: str
) -> None:
    """Its engine answers, in longer than the limit, and no stream of ours is there to tell."""
    watch = Watch(backend.url)
    ((group, _),) = build_roster(watch.settings).backends()
    availability = Availability(watch.board, watch.breaker, watch.time, watch.settings.backend_probe_interval_secs)
    watch.board.begin(0)
    for listed in range(int(LIMIT) + 2):
        backend.metrics = page(running=4, generated=100, listed=listed)
        await watch.probes()
        watch.board.beat(watch.time.now)
    assert (watch.verdict().state, watch.verdict().reason) == (State.DOWN, Reason.STALLED)
    assert availability.of(group).at_last == Choice(group.backends)
    if ends == "closed":
        await backend.stop()
    else:
        backend.health = 503
    await watch.probes()
    assert availability.of(group)[::4] == ((), None)


async def test_the_stall_is_found_in_the_limit_one_interval_and_a_second(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)
    backend.metrics = page(running=4, generated=100)
    watch.board.begin(0)
    async with watch.running():
        found = await watch.until(lambda: watch.told and watch.verdict().state is State.DOWN)
    assert LIMIT <= found <= LIMIT + watch.settings.backend_probe_interval_secs + SOON_SECS + 2 * TICK_SECS


async def test_one_that_did_not_move_between_two_probes_is_looked_at_every_second_until_it_does(
    backend: ScriptedBackend,
) -> None:
    watch = Watch(backend.url)
    backend.metrics = page(running=4, generated=100)
    watch.board.begin(0)
    async with watch.running():
        await watch.next_probe()
        await watch.next_probe()
        assert await watch.next_probe() == pytest.approx(SOON_SECS, abs=2 * TICK_SECS)
        backend.metrics = page(running=4, generated=101)
        await watch.next_probe()
        assert await watch.next_probe() == pytest.approx(watch.settings.backend_probe_interval_secs, abs=2 * TICK_SECS)


async def stalled(backend: ScriptedBackend) -> Watch:
    """A prober that has found an engine to hang, over a request that still waits for it."""
    watch = Watch(backend.url)
    backend.metrics = page(running=4, generated=100)
    watch.board.begin(0)
    await watch.probes(int(LIMIT) + 2)
    assert (watch.verdict().state, watch.verdict().reason) == (State.DOWN, Reason.STALLED)
    return watch


async def test_an_engine_that_hangs_is_out_for_the_next_generation_from_the_start_until_it_moves(
    backend: ScriptedBackend,
) -> None:
    old = await stalled(backend)
    new = Watch(backend.url, before=old)
    assert new.verdict() == old.verdict()
    assert not new.prober.has_looked
    assert {(await new.probes()).state for _ in range(2 * int(LIMIT))} == {State.DOWN}
    assert new.prober.has_looked
    assert new.states() == []
    backend.metrics = page(running=4, generated=101)
    assert (await new.probes(2)).reason is Reason.RECOVERING
    assert new.breaker.standing(0) is Standing.CLOSED
    assert (await new.probes()).state is State.HEALTHY
    assert new.breaker.standing(0) is Standing.HALF_OPEN


async def test_the_end_of_those_who_answered_before_a_reload_is_no_sign_of_life(backend: ScriptedBackend) -> None:
    first = Watch(backend.url)
    backend.metrics = page(running=4, generated=100)
    first.board.begin(0)
    first.board.answered(0)
    second = Watch(backend.url, before=first)
    second.board.begin(0)
    await second.probes(int(LIMIT) + 2)
    assert second.verdict().reason is Reason.STALLED
    first.heritage.leave()
    assert {(await second.probes()).reason for _ in range(3)} == {Reason.STALLED}


async def test_a_request_that_hangs_at_an_old_worker_makes_a_new_generation_doubt_its_backend(
    backend: ScriptedBackend,
) -> None:
    old = Watch(backend.url)
    backend.metrics = page(running=4, generated=100)
    between = Watch(backend.url, before=old)
    new = Watch(backend.url, before=between)
    between.heritage.leave()
    old.board.begin(0)
    await new.probes(int(LIMIT) + 2)
    assert (new.verdict().reason, new.told[-1].ours) == (Reason.STALLED, 1)
    old.board.alive(0, new.time.now)
    assert (await new.probes()).reason is Reason.RECOVERING


async def test_what_is_said_of_one_backend_is_said_of_no_other_by_the_same_name(backend: ScriptedBackend) -> None:
    old = await stalled(backend)
    async with ScriptedBackend(metrics=page(running=4, generated=100)) as other:
        new = Watch(other.url, before=old)
        assert new.board.verdict("chat0") is None
        await new.probes()
        assert (new.verdict().state, new.told[-1].ours) == (State.HEALTHY, 0)


async def test_the_time_to_load_counts_from_when_the_first_generation_knew_the_backend() -> None:
    old = Watch(CLOSED_PORT, backend_loading_secs=100)
    assert (await old.probes(each=90)).state is State.LOADING
    new = Watch(CLOSED_PORT, "http://127.0.0.1:19", before=old, backend_loading_secs=100)
    await new.probes(each=20)
    assert (new.verdict("chat0").state, new.verdict("chat1").state) == (State.DOWN, State.LOADING)


async def test_a_dead_backend_stays_down_over_a_reload_since_when_it_was(backend: ScriptedBackend) -> None:
    old = Watch(backend.url)
    await old.probes()
    await backend.stop()
    down = await old.probes()
    new = Watch(backend.url, before=old)
    after = await new.probes(3)
    assert (after.state, after.reason, after.since) == (State.DOWN, Reason.UNREACHABLE, down.since)
    assert new.states() == []


async def test_one_bad_probe_under_load_takes_nothing_out(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url, backend_probe_timeout_secs=0.3)
    await watch.probes()
    backend.silent = True
    watch.board.begin(0)
    assert (await watch.probes(each=10)).state is State.BUSY
    assert (await watch.probes(each=10)).state is State.DOWN


async def test_a_sign_of_life_of_our_own_streams_keeps_a_backend_whose_figures_are_old(
    backend: ScriptedBackend,
) -> None:
    watch = Watch(backend.url)
    backend.metrics = page(running=4, generated=100)
    watch.board.begin(0)
    for _ in range(int(5 * LIMIT)):
        watch.board.alive(0, watch.time.now)
        await watch.probes()
    assert {one.after.state for one in watch.told} == {State.HEALTHY}


async def test_answers_to_us_keep_a_backend_whose_figures_are_old(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)
    backend.metrics = page(running=4, generated=100)
    watch.board.begin(0)
    for _ in range(int(3 * LIMIT)):
        watch.board.begin(0)
        watch.board.answered(0)
        await watch.probes()
    assert {one.after.state for one in watch.told} == {State.HEALTHY}


async def test_a_probe_that_times_out_while_our_streams_move_leaves_the_backend_in_rotation(
    backend: ScriptedBackend,
) -> None:
    watch = Watch(backend.url, backend_probe_timeout_secs=0.3)
    await watch.probes()
    backend.silent = True
    watch.board.begin(0)
    for _ in range(5):
        watch.board.alive(0, watch.time.now + 1)
        await watch.probes()
        assert (watch.verdict().state, watch.verdict().reason) == (State.BUSY, Reason.TIMEOUT)
    await watch.probes(2, each=10)
    assert watch.verdict().state is State.DOWN


async def test_a_sign_of_life_counts_that_a_worker_told_of_in_its_last_round(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url, backend_probe_timeout_secs=0.3)
    await watch.probes()
    backend.silent = True
    watch.board.begin(0)
    for _ in range(3):
        watch.board.alive(0, watch.time.now + 10 - ROUNDS_SECS)
        assert (await watch.probes(each=10)).state is State.BUSY
    for _ in range(2):
        watch.board.alive(0, watch.time.now + 10 - ROUNDS_SECS - 0.1)
        await watch.probes(each=10)
    assert watch.verdict().state is State.DOWN


async def test_a_health_check_that_times_out_while_the_engines_figures_move_leaves_it_in_rotation(
    backend: ScriptedBackend,
) -> None:
    watch = Watch(backend.url, backend_probe_timeout_secs=0.5)
    backend.metrics = page(running=4, generated=100)
    await watch.probes()
    backend.slow = {"/health"}
    for number in range(3):
        backend.metrics = page(running=4, generated=101 + number)
        await watch.probes(each=10)
        assert (watch.verdict().state, watch.verdict().reason) == (State.BUSY, Reason.TIMEOUT)
    await watch.probes(each=10)
    assert watch.verdict().state is State.DOWN


async def test_a_backend_with_requests_waiting_inside_is_busy(backend: ScriptedBackend) -> None:
    watch = Watch(backend.url)
    backend.metrics = page(running=8, waiting=3, generated=100)
    assert (await watch.probes()).state is State.BUSY
    assert (watch.verdict().running, watch.verdict().waiting) == (8, 3)


@pytest.mark.parametrize("metrics", [None, b"", b"<html>", b"x" * 5_000_000, b"vllm:num_requests_running NaN\n"])
async def test_missing_huge_or_senseless_figures_change_nothing(
    backend: ScriptedBackend, metrics: bytes | None
) -> None:
    watch = Watch(backend.url)
    backend.metrics = metrics
    watch.board.begin(0)
    await watch.probes(5, each=LIMIT)
    assert {one.after.state for one in watch.told} == {State.HEALTHY}


async def test_figures_that_never_come_hold_the_verdict_up_no_longer_than_the_probes_own_bound(
    backend: ScriptedBackend,
) -> None:
    backend.slow = {"/metrics"}
    assert (await Watch(backend.url, backend_probe_timeout_secs=1.0).probes()).state is State.HEALTHY


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
