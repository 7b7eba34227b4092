"""Verdicts over time, and the task that brings them up to date."""

import asyncio

import pytest

from gateway.backends.health import (
    LOADING_INTERVAL_SECS,
    BackendHealth,
    Prober,
    Readiness,
    State,
    judge,
)
from gateway.backends.probe import Finding, Reason
from gateway.backends.roster import build_roster
from gateway.backends.settings import BackendSettings
from tests.backends.scripted import ScriptedBackend

pytestmark = pytest.mark.anyio

KEY = "sk-backends-4f2a"
OK = Finding(Reason.OK, latency=0.01, models=("qwen",), max_model_len=8192)
UNREACHABLE = Finding(Reason.UNREACHABLE)
FRESH = BackendHealth(State.LOADING, Reason.NOT_PROBED, since=0.0)


class StandingClock:
    """A clock that a test moves; whoever sleeps on it waits until the test lets one sleep end."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asleep: asyncio.Queue[float] = asyncio.Queue()
        self._wake = asyncio.Event()

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._wake.clear()
        self.asleep.put_nowait(seconds)
        await self._wake.wait()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self._wake.set()


def settings(*urls: str, **fields: object) -> BackendSettings:
    required = {"backend_api_key": KEY, "chat_backends": urls, "chat_aliases": ()}
    return BackendSettings.model_validate({**required, **fields})


def prober_for(*urls: str, clock: StandingClock | None = None, **fields: object) -> Prober:
    chosen = settings(*urls, **fields)
    return Prober(build_roster(chosen), chosen, clock or StandingClock())


def test_a_backend_that_was_never_reached_is_loading_until_its_time_is_over() -> None:
    loading = judge(FRESH, UNREACHABLE, now=899.0, loading_until=900.0)
    assert (loading.state, loading.reason, loading.since) == (State.LOADING, Reason.UNREACHABLE, 0.0)
    down = judge(loading, UNREACHABLE, now=900.0, loading_until=900.0)
    assert (down.state, down.since) == (State.DOWN, 900.0)


def test_a_backend_that_was_reached_once_is_down_when_it_is_not() -> None:
    healthy = judge(FRESH, OK, now=5.0, loading_until=900.0)
    assert healthy.state is State.HEALTHY
    assert judge(healthy, UNREACHABLE, now=6.0, loading_until=900.0).state is State.DOWN


def test_since_stays_while_the_state_stays() -> None:
    healthy = judge(FRESH, OK, now=5.0, loading_until=900.0)
    assert judge(healthy, OK, now=15.0, loading_until=900.0).since == 5.0


def test_what_was_learned_outlives_an_outage() -> None:
    healthy = judge(FRESH, OK, now=5.0, loading_until=900.0)
    down = judge(healthy, UNREACHABLE, now=6.0, loading_until=900.0)
    assert (down.models, down.max_model_len, down.latency) == (("qwen",), 8192, None)


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.OK, Reason.UNREACHABLE, Reason.NOT_PROBED}))
def test_any_other_fault_is_down_at_once(reason: Reason) -> None:
    assert judge(FRESH, Finding(reason), now=1.0, loading_until=900.0).state is State.DOWN


async def test_before_the_first_probe_the_gateway_is_loading() -> None:
    prober = prober_for("http://127.0.0.1:9")
    assert prober.ready() == Readiness(ready=False, reason="loading")
    assert prober.health("chat0").reason is Reason.NOT_PROBED


async def test_one_healthy_chat_backend_is_enough(backend: ScriptedBackend) -> None:
    prober = prober_for("http://127.0.0.1:9", backend.url)
    await prober.probe_all()
    assert prober.ready() == Readiness(ready=True, reason="ok")
    assert [status.health.state for status in prober.statuses()] == [State.LOADING, State.HEALTHY]


async def test_an_embedding_backend_makes_nothing_ready(backend: ScriptedBackend) -> None:
    backend.models = ("e",)
    prober = prober_for("http://127.0.0.1:9", embed_backend=backend.url, embed_model="e", backend_loading_secs=0)
    await prober.probe_all()
    assert prober.health("embed").state is State.HEALTHY
    assert prober.ready() == Readiness(ready=False, reason="unreachable")


async def test_a_refused_key_is_the_reason_why_nothing_is_ready(backend: ScriptedBackend) -> None:
    backend.key = "sk-another"
    prober = prober_for(backend.url)
    await prober.probe_all()
    assert prober.ready() == Readiness(ready=False, reason="wrong_key")


async def test_the_context_length_is_the_least_that_a_replica_states(backend: ScriptedBackend) -> None:
    backend.max_model_len = 4096
    prober = prober_for(backend.url, "http://127.0.0.1:9")
    group = prober.statuses()[0].group
    assert prober.max_model_len(group) is None
    await prober.probe_all()
    assert prober.max_model_len(group) == 4096


async def test_a_silent_backend_does_not_hold_up_the_verdict_on_another(backend: ScriptedBackend) -> None:
    told = asyncio.Event()
    async with ScriptedBackend(silent=True) as silent, asyncio.timeout(10):
        chosen = settings(silent.url, backend.url, backend_probe_timeout_secs=50)
        async with Prober(build_roster(chosen), chosen, StandingClock(), lambda *_: told.set()) as prober:
            await told.wait()
            assert [status.health.state for status in prober.statuses()] == [State.LOADING, State.HEALTHY]


async def test_the_task_follows_a_backend_through_loading_health_and_death(backend: ScriptedBackend) -> None:
    await backend.stop()
    clock = StandingClock()
    changes: list[tuple[str, State, Reason]] = []
    chosen = settings(backend.url)

    def note(name: str, health: BackendHealth) -> None:
        changes.append((name, health.state, health.reason))

    async with asyncio.timeout(20), Prober(build_roster(chosen), chosen, clock, note):
        assert await clock.asleep.get() == LOADING_INTERVAL_SECS
        await backend.start()
        clock.advance(1.0)
        assert await clock.asleep.get() == chosen.backend_probe_interval_secs
        clock.advance(10.0)
        assert await clock.asleep.get() == chosen.backend_probe_interval_secs
        await backend.stop()
        clock.advance(10.0)
        assert await clock.asleep.get() == chosen.backend_probe_interval_secs
    assert changes == [
        ("chat0", State.LOADING, Reason.UNREACHABLE),
        ("chat0", State.HEALTHY, Reason.OK),
        ("chat0", State.DOWN, Reason.UNREACHABLE),
    ]


async def test_leaving_in_mid_probe_leaves_no_task_behind(backend: ScriptedBackend) -> None:
    backend.silent = True
    before = asyncio.all_tasks()
    async with asyncio.timeout(10):
        async with prober_for(backend.url, backend_probe_timeout_secs=50):
            await backend.was_asked.wait()
        left = {task for task in asyncio.all_tasks() - before if "prob" in f"{task.get_name()} {task.get_coro()!r}"}
    assert left == set()
