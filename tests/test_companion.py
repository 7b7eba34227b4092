"""The supervisor's watch over the fleet: one prober for all workers, their board, and what is said of the backends."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from gateway.backends.board import Board
from gateway.backends.board_layout import ROWS
from gateway.backends.breaker import Breaker
from gateway.backends.circuit import Standing, Why
from gateway.backends.health import State
from gateway.backends.roster import build_roster
from gateway.companion import AGAIN_SECS, Companion, companions
from gateway.core.clock import SystemClock
from gateway.observability.fingerprint import fingerprint
from gateway.observability.totals import Totals
from gateway.settings import Settings, load
from tests.backends.scripted import ScriptedBackend, page
from tests.core.hand_time import HandTime
from tests.support.certificates import self_signed

pytestmark = pytest.mark.anyio

KEY = "sk-backends-4f2a"


def settings(*urls: str, **fields: object) -> Settings:
    required = {"gateway_api_key": "sk-gateway-19fe", "backend_api_key": KEY, "chat_backends": ",".join(urls)}
    return load(None, **{**required, "backend_probe_interval_secs": 0.05, **fields})


def mapped(companion: Companion, chosen: Settings, row: int = 0) -> Board:
    """The board as a worker maps it."""
    return Board([backend for _, backend in build_roster(chosen).backends()], companion.descriptor, row)


class Host:
    """Companions of one supervisor, their figures together, and what they logged."""

    def __init__(self) -> None:
        self.logged = LogCapture()
        self.log = structlog.wrap_logger(None, processors=[self.logged], wrapper_class=structlog.BoundLogger)
        self.totals = Totals()
        self.scope = AsyncExitStack()

    async def companion(self, chosen: Settings, before: Companion | None = None, **parts: Any) -> Companion:
        """One that lives as long as the host does, after its first look."""
        descriptor = self.scope.enter_context(self.totals.page())
        made = Companion(chosen, descriptor, self.log, before, **parts)
        companion = await self.scope.enter_async_context(made)
        companion.begin()
        if not parts:
            await asyncio.wait_for(companion.first_round(), 30)
        return companion

    def figures(self, family: str) -> dict[tuple[str, ...], float]:
        """What `/metrics` would show."""
        return {labels: values[0] for labels, values in self.totals.sums().get(family, {}).items()}


@pytest.fixture
async def host(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    monkeypatch.setattr("gateway.companion.LOOK_SECS", 0.02)
    made = Host()
    async with made.scope:
        yield made


@pytest.fixture
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with ScriptedBackend(metrics=page(running=2, waiting=1)) as scripted:
        yield scripted


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- what changes is shared memory
            await asyncio.sleep(0.005)  # noqa: TID251 -- a real prober keeps real time


async def probes_go_on(backend: ScriptedBackend) -> None:
    """Return after two more probes of each of two probers, a probe being three GETs."""
    asked = len(backend.asked)
    await until(lambda: len(backend.asked) > asked + 12)


def state(board: Board) -> State | None:
    """The last verdict on the first chat backend; None: there is none."""
    verdict = board.verdict("chat0")
    return None if verdict is None else verdict.state


async def test_what_it_finds_stands_on_the_board_that_workers_map(host: Host, backend: ScriptedBackend) -> None:
    chosen = settings(backend.url)
    companion = await host.companion(chosen)
    verdict = mapped(companion, chosen).verdict("chat0")
    assert verdict is not None
    assert (verdict.state, verdict.max_model_len, verdict.waiting) == (State.BUSY, 8192, 1)


async def test_a_worker_that_suspects_a_backend_has_it_probed_at_once(host: Host, backend: ScriptedBackend) -> None:
    chosen = settings(backend.url, backend_probe_interval_secs=600)
    board = mapped(await host.companion(chosen), chosen)
    await backend.stop()
    board.suspect(0, SystemClock.monotonic() + 1)
    await until(lambda: state(board) is State.DOWN)
    assert host.figures("gateway_backend_state")["chat0", "down"] == 1


async def test_a_row_is_clear_when_it_is_given_and_when_it_is_taken_back(host: Host, backend: ScriptedBackend) -> None:
    chosen = settings(backend.url)
    companion = await host.companion(chosen)
    with companion.row() as first, companion.row() as second:
        assert first != second
        mapped(companion, chosen, second).begin(0)
        assert companion.board.in_flight(0) == 1
    assert companion.board.in_flight(0) == 0
    with companion.row() as again:
        assert again in {first, second}


async def test_there_are_so_many_rows_and_no_more(host: Host, backend: ScriptedBackend) -> None:
    companion = await host.companion(settings(backend.url))
    async with AsyncExitStack() as scope:
        assert {scope.enter_context(companion.row()) for _ in range(ROWS)} == set(range(ROWS))
        with pytest.raises(OSError, match=f"{ROWS} workers"), companion.row():
            pass
    with companion.row():
        pass


async def test_the_figures_tell_each_backends_state_its_load_and_the_drift(
    host: Host, backend: ScriptedBackend
) -> None:
    chosen = settings(backend.url, "http://127.0.0.1:9")
    companion = await host.companion(chosen)
    board = mapped(companion, chosen)
    board.begin(0)
    await until(lambda: host.figures("gateway_backend_drift_requests").get(("chat0",)) == 2)
    states = host.figures("gateway_backend_state")
    assert {labels for labels, value in states.items() if value} == {("chat0", "busy"), ("chat1", "loading")}
    assert len(states) == 2 * len(State)
    engine = host.figures("gateway_backend_engine_requests")
    assert (engine["chat0", "running"], engine["chat0", "waiting"], engine["chat1", "running"]) == (2, 1, 0)
    assert host.figures("gateway_backend_probe_seconds")[("chat0",)] > 0
    board.begin(0)
    await until(lambda: host.figures("gateway_backend_drift_requests")[("chat0",)] == 1)


async def test_the_figures_tell_how_each_circuit_stands_and_how_many_requests_are_there(
    host: Host, backend: ScriptedBackend
) -> None:
    chosen = settings(backend.url, "http://127.0.0.1:9", backend_probe_interval_secs=600)
    companion = await host.companion(chosen)
    board = mapped(companion, chosen)

    def standing(name: str) -> list[str]:
        circuits = host.figures("gateway_backend_circuit")
        return [labels[1] for labels, value in circuits.items() if labels[0] == name and value]

    await until(lambda: standing("chat0") == standing("chat1") == ["closed"])
    assert host.figures("gateway_circuit_changes")["chat0", "open"] == 0  # an alert needs it before it rises
    board.begin(0)
    breaker = Breaker(board, chosen, SystemClock())
    breaker.trip(0, Why.FAILURES)
    await until(lambda: standing("chat0") == ["open"])
    breaker.reset(0)
    await until(lambda: standing("chat0") == ["half_open"])
    assert standing("chat1") == ["closed"]
    in_flight = host.figures("gateway_backend_in_flight")
    assert in_flight == {("chat0",): 1, ("chat1",): 0}
    companion.hush(quiet=True)
    assert standing("chat0") == []
    companion.hush(quiet=False)
    await until(lambda: standing("chat0") == ["half_open"])


async def test_a_circuit_that_the_prober_changes_is_counted(host: Host, backend: ScriptedBackend) -> None:
    await host.companion(settings(backend.url, backend_up_after=1))
    await backend.stop()
    await until(lambda: host.figures("gateway_backend_state")["chat0", "down"])
    await backend.start()
    await until(lambda: host.figures("gateway_circuit_changes")["chat0", "half_open"])
    assert host.figures("gateway_circuit_changes")["chat0", "half_open"] == 1


async def test_nobody_is_probed_before_it_is_told_to_begin(host: Host, backend: ScriptedBackend) -> None:
    with host.totals.page() as descriptor:
        async with Companion(settings(backend.url), descriptor, host.log) as companion:
            for _ in range(100):
                await asyncio.sleep(0)  # noqa: TID251 -- turns of the loop, no time
            assert companion._prober is None
            assert companion.board.verdict("chat0") is None
            companion.begin()
            companion.begin()  # as another worker serves, too
            await asyncio.wait_for(companion.first_round(), 30)
            assert companion.board.verdict("chat0") is not None


async def test_a_backend_that_comes_and_goes_is_logged_once_each_time(host: Host, backend: ScriptedBackend) -> None:
    chosen = settings(backend.url)
    await host.companion(chosen)
    await backend.stop()
    await until(lambda: len(host.logged.entries) == 2)
    assert [(one["event"], one["backend"], one["state"], one["log_level"]) for one in host.logged.entries] == [
        ("backend_changed", "chat0", "busy", "info"),
        ("backend_changed", "chat0", "down", "warning"),
    ]


async def test_of_two_generations_the_newer_one_speaks(host: Host, backend: ScriptedBackend) -> None:
    chosen = settings(backend.url)
    old = await host.companion(chosen)
    await host.companion(chosen, before=old)
    await probes_go_on(backend)
    assert host.figures("gateway_backend_state")["chat0", "busy"] == 1
    assert host.figures("gateway_backend_circuit")["chat0", "closed"] == 1
    assert len(host.logged.entries) == 1  # of what both know nothing more
    old_board = mapped(old, chosen)
    old_board.begin(0)
    await until(lambda: host.figures("gateway_backend_drift_requests")[("chat0",)] == 2)


async def test_a_new_generation_shows_what_is_known_before_its_first_probe_and_logs_only_changes(
    host: Host, backend: ScriptedBackend
) -> None:
    chosen = settings(backend.url, backend_down_after=10)
    old = await host.companion(chosen)
    backend.silent = True
    await host.companion(chosen, before=old, clock=HandTime(SystemClock.monotonic()))
    assert host.figures("gateway_backend_state")["chat0", "busy"] == 1
    assert len(host.logged.entries) == 1


async def test_a_circuit_that_the_prober_changed_is_told_once_by_the_newest_generation(
    host: Host, backend: ScriptedBackend
) -> None:
    chosen = settings(backend.url)
    old = await host.companion(chosen)
    new = await host.companion(chosen, before=old)
    await backend.stop()
    await until(lambda: state(old.board) is state(new.board) is State.DOWN)
    await backend.start()
    await until(lambda: all(Breaker(one.board, chosen, SystemClock()).why(0) for one in (old, new)))
    (line,) = [one for one in host.logged.entries if one["event"] == "circuit_changed"]
    assert (line["backend"], line["before"], line["after"], line["reason"], line["log_level"]) == (
        "chat0",
        "closed",
        "half_open",
        "restarted",
        "info",
    )


async def test_the_end_of_a_generation_that_was_replaced_gives_nobody_the_word(
    host: Host, backend: ScriptedBackend
) -> None:
    chosen = settings(backend.url)
    first = await host.companion(chosen)
    with host.totals.page() as descriptor:
        async with Companion(chosen, descriptor, host.log, first) as second:
            third = await host.companion(chosen, before=second)
    await probes_go_on(backend)  # the first's and the third's
    assert host.figures("gateway_backend_state")["chat0", "busy"] == 1
    assert third.board.in_flight(0) == 0


async def test_a_generation_that_does_not_come_up_leaves_the_word_to_the_one_before(
    host: Host, backend: ScriptedBackend
) -> None:
    chosen = settings(backend.url)
    old = await host.companion(chosen)
    with host.totals.page() as descriptor:
        async with Companion(chosen, descriptor, host.log, old) as new:
            new.begin()
            await new.first_round()
            assert new.board.verdict("chat0") is not None
    await until(lambda: host.figures("gateway_backend_state").get(("chat0", "busy")))
    assert host.figures("gateway_backend_state")["chat0", "busy"] == 1  # said by one, and not by two


async def test_a_new_generation_knows_which_circuits_are_open(host: Host, backend: ScriptedBackend) -> None:
    chosen = settings(backend.url)
    old = await host.companion(chosen)
    Breaker(old.board, chosen, SystemClock()).trip(0, Why.FAILURES)
    new = await host.companion(chosen, before=old)
    assert Breaker(mapped(new, chosen), chosen, SystemClock()).standing(0) is Standing.OPEN


async def test_a_prober_that_cannot_be_made_is_reported_and_made_later(
    host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, tls = self_signed(tmp_path)
    async with ScriptedBackend(tls=tls) as backend:
        chosen = settings(backend.url, upstream_ca_file=str(certificate))
        aside = certificate.rename(tmp_path / "aside.pem")
        time = HandTime()
        companion = await host.companion(chosen, clock=time)
        await until(lambda: caplog.records)
        assert caplog.records[0].message == "prober_failed"
        assert companion.board.last_beat() == 0
        aside.rename(certificate)
        await until(lambda: time.pending)
        time.advance(AGAIN_SECS)
        await until(lambda: state(companion.board) is State.HEALTHY)


def boards_open() -> int:
    """Descriptors of boards that this process holds; a mapping holds one of its own."""
    gc.collect()
    held = Path("/proc/self/fd")
    return sum("gateway-board" in one.readlink().name for one in held.iterdir() if one.is_symlink())


async def test_it_leaves_no_board_and_no_task_behind(backend: ScriptedBackend) -> None:
    chosen = settings(backend.url)
    log = structlog.wrap_logger(None, processors=[LogCapture()], wrapper_class=structlog.BoundLogger)
    before, tasks = boards_open(), len(asyncio.all_tasks())
    with Totals().page() as descriptor:
        companion = None
        for _ in range(4):
            async with companions(chosen, log)(descriptor, companion) as companion:
                companion.begin()
                await companion.first_round()
    assert companion is not None
    assert boards_open() <= before + 1  # the last one's mapping, as it is still looked at
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_the_drift_counts_what_older_generations_have_also_when_one_between_has_ended(
    host: Host, backend: ScriptedBackend
) -> None:
    chosen = settings(backend.url)
    first = await host.companion(chosen)
    with host.totals.page() as descriptor:
        async with Companion(chosen, descriptor, host.log, first) as second:
            await host.companion(chosen, before=second)
    del second
    gc.collect()
    assert host.figures("gateway_backend_drift_requests")[("chat0",)] != 2
    mapped(first, chosen).begin(0)
    await until(lambda: host.figures("gateway_backend_drift_requests")[("chat0",)] == 2)


async def test_the_hash_of_the_settings_in_force_is_shown_and_after_a_reload_the_one_before_is_not(
    host: Host, backend: ScriptedBackend
) -> None:
    before, after = settings(backend.url), settings(backend.url, queue_timeout_secs=3)
    first = await host.companion(before)

    def in_force() -> set[str]:
        return {labels[0] for labels, value in host.figures("gateway_config_info").items() if value == 1}

    assert in_force() == {fingerprint(before)}
    with host.totals.page() as descriptor:
        async with Companion(after, descriptor, host.log, first):
            assert in_force() == {fingerprint(after)}
            assert host.figures("gateway_config_info")[fingerprint(before),] == 0
        assert in_force() == {fingerprint(before)}  # it did not come up
