"""What a generation's prober knows of those before it: hangs, deaths and times go on over a reload."""

import pytest

from gateway.backends.circuit import Standing
from gateway.backends.health import State
from gateway.backends.reasons import Reason
from tests.backends.scripted import ScriptedBackend, page
from tests.backends.watching import CLOSED_PORT, LIMIT, Watch

pytestmark = pytest.mark.anyio


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
