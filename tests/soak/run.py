"""How does a soak go? A house is built, loaded and hurt for a time, and then looked at in peace."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.conftest import Fleet, start_fleet
from tests.soak.books import audit
from tests.soak.killing import Death, kill_now_and_then
from tests.soak.ledgers import Ledgers
from tests.soak.load import PATHS, Tally, visit_on_and_on
from tests.soak.looks import INSIDE, Rest, Sample, has_catalog, leases_and_seats, rest, running_in, sample_now_and_then
from tests.soak.pausing import is_over
from tests.soak.verdict import Outcome
from tests.support.gateway import Gateway, wait_until
from tests.support.simulators import Simulator

SERVERS = ("chat0", "chat1", "embed", "rerank")
SLOTS = 24
"""Fewer than there are visitors, so that some of them always wait, and leave while they do."""
CALM_SECS = 20.0
"""How long what is held may take to be nothing: idle connections to backends are kept for a second."""
ENGINES_SECS = 8.0
"""How long an engine may go on once nobody waits for it; what leavers asked for takes longer than this and the calm."""
SAMPLE_SECS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how many, how often; seconds."""

    seconds: float
    visitors: int = 40
    kill_every: float = 30.0
    workers: int = 4


async def soak(plan: Plan, folder: Path) -> Outcome:
    """One run; its log and what it counts go to `folder`."""
    with ExitStack() as stack:
        fleet = start_fleet(stack, *SERVERS)
        for name in ("chat0", "chat1"):
            fleet[name].set_pace(ttft_ms=20, token_ms=5, spread_ms=3)
        # Short, because unix sockets stand in it, and on tmpfs as in production.
        store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-", dir="/dev/shm")))
        gateway = stack.enter_context(Gateway(folder, **_settings(plan, fleet, store, folder)))
        wait_until(lambda: _all_serve(gateway, plan))
        before = await _calm(gateway, fleet.servers, store, folder)
        ledgers = Ledgers(fleet.servers)
        storm = await _storm(plan, gateway, store, ledgers)
        abandoned = _abandoned(fleet.servers)
        ledgers.read()
        wait_until(lambda: _all_serve(gateway, plan))
        after = await _calm(gateway, fleet.servers, store, folder, before)
        supervisor, oldest = gateway.pid, gateway.worker_pids()[0]
        prefixes = [str(event["request_ids"]) for event in gateway.events("worker_died")]
        return Outcome(
            storm.tally,
            storm.deaths,
            prefixes,
            storm.samples,
            {supervisor: "supervisor", oldest: "oldest worker"},
            before,
            after,
            ledgers.twice(),
            abandoned,
            storm.seats,
            audit(
                storm.tally.answered,
                prefixes,
                gateway.access_lines(),
                gateway.metrics(),
                PATHS,
                sum((Counter(death.counted) for death in storm.deaths), Counter()),
            ),
        )


def _settings(plan: Plan, fleet: Fleet, store: Path, folder: Path) -> dict[str, object]:
    return {
        **fleet.settings(),
        "GATEWAY_WORKERS": plan.workers,
        "LIMITER_PATH": store,
        "MAX_RPS_PER_IP": 100_000,
        "RPS_BURST": 100_000,
        "ORG_DAILY_REQUEST_LIMIT": 10**9,
        "ORG_DAILY_TOKEN_LIMIT": 10**12,
        "ORG_MONTHLY_TOKEN_LIMIT": 10**12,
        "MAX_INFLIGHT_PER_IP": SLOTS,
        "MAX_QUEUED_PER_IP": 10 * plan.visitors,
        "QUEUE_TIMEOUT_SECS": 30,
        # Of every backend as many as there are slots: seats are taken and given back, and nobody waits for one.
        "MAX_INFLIGHT_PER_BACKEND": SLOTS,
        "UPSTREAM_KEEPALIVE_SECS": 1,
        "PYTHONPATH": INSIDE,
        "TASKS_FOLDER": folder,
    }


@dataclass(slots=True)
class Storm:
    """What was seen of the load and the kills; `seats` is how many were taken at half-time."""

    tally: Tally = field(default_factory=Tally)
    deaths: list[Death] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    seats: int = 0


async def _storm(plan: Plan, gateway: Gateway, store: Path, ledgers: Ledgers) -> Storm:
    """The load and the kills."""
    storm = Storm()
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(plan.seconds, over.set)
    watched = (gateway.pid, gateway.worker_pids()[0])
    async with asyncio.TaskGroup() as group:
        group.create_task(kill_now_and_then(gateway, plan.kill_every, storm.deaths, over))
        group.create_task(sample_now_and_then(watched, SAMPLE_SECS, storm.tally, storm.samples, over))
        group.create_task(ledgers.read_now_and_then(SAMPLE_SECS, over))
        group.create_task(_count_seats(plan.seconds / 2, store, storm, over))
        for seed in range(plan.visitors):
            group.create_task(visit_on_and_on(gateway.port, seed, storm.tally, over))
    return storm


async def _count_seats(after_secs: float, store: Path, storm: Storm, over: asyncio.Event) -> None:
    if not await is_over(over, after_secs):
        _, storm.seats = await leases_and_seats(store)


def _abandoned(servers: Mapping[str, Simulator]) -> int:
    """How many sequences the engines still run for nobody, a moment after the last visitor has gone."""
    deadline = time.monotonic() + ENGINES_SECS
    while (running := running_in(servers)) and time.monotonic() < deadline:
        continue
    return running


def _all_serve(gateway: Gateway, plan: Plan) -> bool:
    """Whether the house is complete; before that supervisor and workers have not opened all that they keep."""
    serving = gateway.metrics().get('gateway_workers{state="serving"}') == plan.workers and gateway.well()
    return serving and all(map(has_catalog, gateway.worker_pids()))


async def _calm(
    gateway: Gateway, servers: Mapping[str, Simulator], store: Path, folder: Path, before: Rest | None = None
) -> Rest:
    """What is held as soon as nothing is and no more than before is open, or what is still held when the time is up."""
    deadline = time.monotonic() + CALM_SECS
    while True:
        found = await rest(gateway, servers, store, folder)
        if found.is_calm(before) or time.monotonic() > deadline:
            return found
