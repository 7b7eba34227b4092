"""How does a soak go? A house is built, loaded and hurt for a time, and then looked at in peace."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import Fleet, start_fleet
from tests.soak.killing import Death, kill_now_and_then
from tests.soak.load import Tally, visit_on_and_on
from tests.soak.looks import INSIDE, Rest, Sample, rest, sample_now_and_then
from tests.soak.verdict import Outcome
from tests.support.gateway import Gateway, wait_until
from tests.support.simulators import Simulator

SERVERS = ("chat0", "chat1", "embed", "rerank")
SLOTS = 24
"""Fewer than there are visitors, so that some of them always wait, and leave while they do."""
CALM_SECS = 10.0
"""How long what is held may take to be nothing: idle connections to backends are kept for a second."""
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
        wait_until(lambda: len(gateway.worker_pids()) == plan.workers, 20)
        before = await _calm(gateway, fleet.servers, store, folder)
        tally, deaths, samples = await _storm(plan, gateway)
        wait_until(lambda: len(gateway.worker_pids()) == plan.workers, 20)
        after = await _calm(gateway, fleet.servers, store, folder)
        supervisor, oldest = gateway.pid, gateway.worker_pids()[0]
        return Outcome(
            tally,
            deaths,
            [str(event["request_ids"]) for event in gateway.events("worker_died")],
            samples,
            {supervisor: "supervisor", oldest: "oldest worker"},
            before,
            after,
            _run_twice(fleet),
        )


def _settings(plan: Plan, fleet: Fleet, store: Path, folder: Path) -> dict[str, object]:
    return {
        **fleet.settings(),
        "GATEWAY_WORKERS": plan.workers,
        "LIMITER_PATH": store,
        "MAX_RPS_PER_IP": 100_000,
        "RPS_BURST": 100_000,
        "MAX_INFLIGHT_PER_IP": SLOTS,
        "MAX_QUEUED_PER_IP": 10 * plan.visitors,
        "QUEUE_TIMEOUT_SECS": 30,
        "UPSTREAM_KEEPALIVE_SECS": 1,
        "PYTHONPATH": INSIDE,
        "TASKS_FOLDER": folder,
    }


async def _storm(plan: Plan, gateway: Gateway) -> tuple[Tally, list[Death], list[Sample]]:
    """The load and the kills."""
    tally = Tally()
    deaths: list[Death] = []
    samples: list[Sample] = []
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(plan.seconds, over.set)
    watched = (gateway.pid, gateway.worker_pids()[0])
    async with asyncio.TaskGroup() as group:
        group.create_task(kill_now_and_then(gateway, plan.kill_every, deaths, over))
        group.create_task(sample_now_and_then(watched, SAMPLE_SECS, tally, samples, over))
        for seed in range(plan.visitors):
            group.create_task(visit_on_and_on(gateway.port, seed, tally, over))
    return tally, deaths, samples


async def _calm(gateway: Gateway, servers: Mapping[str, Simulator], store: Path, folder: Path) -> Rest:
    """What is held as soon as nothing is, or what is still held when the time is up."""
    deadline = time.monotonic() + CALM_SECS
    while True:
        found = await rest(gateway, servers, store, folder)
        if not found.held or time.monotonic() > deadline:
            return found


def _run_twice(fleet: Fleet) -> list[str]:
    ran = Counter(row["request_id"] for name in SERVERS for row in fleet[name].ledger() if row["status"] == 200)
    return [request_id for request_id, count in ran.items() if count > 1]
