"""What happens while it is looked at? Faults one after the other, each until the gateway's own metrics show it."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass

from tests.e2e.controlled import controls
from tests.monitoring.check.house import SERVERS, WORKERS, House
from tests.monitoring.check.server import SCRAPE_SECS
from tests.soak.pausing import is_over

PATIENCE_SECS = 30.0
LOOK_SECS = 0.25
LOG_BYTES = 4000
SEEN_SECS = 3 * SCRAPE_SECS
"""A scene stays so long when it has shown itself: two scrapes see it for sure."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that happens.

    Args:
        staged: makes it happen, and takes it back.
        signs: beginnings of samples of /metrics, each of which must come to be higher than it was before.
    """

    what: str
    staged: Callable[[House], AbstractContextManager[object]]
    signs: tuple[str, ...]


async def play(house: House, over: asyncio.Event) -> None:
    """All scenes in order.

    Raises:
        AssertionError: one does not show itself, or does not pass.
    """
    for scene in SCENES:
        await _play(scene, house, over)


async def _play(scene: Scene, house: House, over: asyncio.Event) -> None:
    before = house.gateway.metrics()
    signs = {sign: _total(before, sign) for sign in scene.signs}

    def unseen() -> list[str]:
        now = house.gateway.metrics()
        return [sign for sign, was in signs.items() if _total(now, sign) <= was]

    with scene.staged(house):
        await _until_none(unseen, f"{scene.what}, and /metrics does not show it", house, over)
        await is_over(over, SEEN_SECS)
    await _until_none(lambda: _amiss(house), f"{scene.what}, and does not pass", house, over)


def _amiss(house: House) -> list[str]:
    """What is not back as it was."""
    samples = house.gateway.metrics()
    wanted = {
        'gateway_workers{state="serving"}': WORKERS,
        "gateway_database_up": 1,
        **{f'gateway_backend_circuit{{backend="{name}",standing="closed"}}': 1 for name in SERVERS},
    }
    amiss = [name for name, value in wanted.items() if samples.get(name) != value]
    return amiss if house.gateway.well() else [*amiss, "a backend"]


def _total(samples: dict[str, float], sign: str) -> float:
    return sum(value for name, value in samples.items() if name.startswith(sign))


async def _until_none(left: Callable[[], list[str]], what: str, house: House, over: asyncio.Event) -> None:
    """Wait until nothing is left to wait for; the log's end says more where it does not come."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECS
    while found := await asyncio.to_thread(left):
        late = asyncio.get_running_loop().time() > deadline
        assert not late, f"{what}: {found}\n{house.gateway.log_text()[-LOG_BYTES:]}"
        await is_over(over, LOOK_SECS)


def _faults(fault: str, *servers: str, **parameters: object) -> Callable[[House], AbstractContextManager[object]]:
    @contextmanager
    def staged(house: House) -> Iterator[None]:
        for name in servers:
            house.fleet[name].set_fault(fault, **parameters)
        yield
        for name in servers:
            house.fleet[name].set_faults()

    return staged


def _signalled(which: Callable[[House], int], how: signal.Signals) -> Callable[[House], AbstractContextManager[object]]:
    @contextmanager
    def staged(house: House) -> Iterator[None]:
        pid = which(house)
        os.kill(pid, how)
        try:
            yield
        finally:
            if how is signal.SIGSTOP:  # all others end it, or ask it for something
                os.kill(pid, signal.SIGCONT)

    return staged


@contextmanager
def _locked_database(house: House) -> Iterator[None]:
    """Somebody else holds the database's file."""
    with closing(sqlite3.connect(house.data / "gateway.db", timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def _a_worker(house: House) -> int:
    return house.gateway.worker_pids()[-1]


SCENES = (
    Scene(
        "nothing happens",
        lambda _: nullcontext(),
        (
            "gateway_tokens_total",
            "gateway_refusals_total",
            "gateway_client_disconnects_total",
            "gateway_cache_evictions_total",
        ),
    ),
    Scene(
        "streams are cut",
        _faults("reset_mid_stream", "chat0", "chat1", count=4, after=5),
        ('gateway_backend_signals_total{backend="chat0"',),
    ),
    Scene(
        "a server fails each request",
        _faults("status", "chat1", form="engine_dead"),
        ('gateway_circuit_changes_total{backend="chat1",to="open"}',),
    ),
    Scene(
        "a server's queue is full",
        _faults("status", "chat0", form="queue_full", count=8),
        ("gateway_upstream_retries_total", 'gateway_backend_signals_total{backend="chat0",signal="back_pressure"}'),
    ),
    Scene(
        "a server refuses connections",
        _faults("refuse", "chat0"),
        ('gateway_backend_state{backend="chat0",state="down"}',),
    ),
    Scene("a whole group is gone", _faults("refuse", "chat0", "chat1"), ("gateway_fallbacks_total",)),
    Scene(
        "a group without a fallback is gone",
        _faults("refuse", "rerank"),
        ('gateway_backend_state{backend="rerank",state="down"}',),
    ),
    Scene("a worker is killed", _signalled(_a_worker, signal.SIGKILL), ("gateway_worker_restarts_total",)),
    Scene(
        "the workers are replaced",
        _signalled(lambda house: house.gateway.pid, signal.SIGHUP),
        ('gateway_reloads_total{outcome="done"}',),
    ),
    Scene("a worker stands still", _signalled(_a_worker, signal.SIGSTOP), ("gateway_worker_blocked_total",)),
    Scene(
        "the control process dies",
        _signalled(lambda house: controls(house.gateway)[0], signal.SIGKILL),
        ("gateway_control_deaths_total",),
    ),
    Scene("the database is away", _locked_database, ('gateway_usage_records_total{fate="spooled"}',)),
)
"""Each of them leaves series behind that a panel or an alert asks for."""
