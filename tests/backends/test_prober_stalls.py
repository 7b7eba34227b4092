"""An engine that hangs is found, at last; and what keeps one in rotation whose figures or answers fail to come."""

import pytest

from gateway.backends.availability import Availability, Choice
from gateway.backends.health import State
from gateway.backends.prober import ROUNDS_SECS, SOON_SECS, TICK_SECS
from gateway.backends.reasons import Reason
from gateway.backends.roster import build_roster
from tests.backends.scripted import ScriptedBackend, page
from tests.backends.watching import LIMIT, Watch

pytestmark = pytest.mark.anyio


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
