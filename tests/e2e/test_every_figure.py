"""Does every metric family move? Each stage brings about what some of them show, before real processes.

A family that no stage moves fails `test_every_family_has_a_stage` by its name.
"""

import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from gateway.observability.families import backends, books, cached, hosts, limits, processes, requests, stores, streams
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Family, Kind
from gateway.observability.metrics import Metrics
from gateway.observability.page import VALUES
from gateway.observability.totals import Totals
from tests.e2e.conftest import Fleet, start_fleet
from tests.e2e.controlled import SECRET, controls
from tests.store.valkey.server import running
from tests.support.certificates import self_signed
from tests.support.gateway import BACKEND_KEY, Gateway, RawClient, wait_until
from tests.support.taker import taking

CHAT, EMBED = "/v1/chat/completions", "/v1/embeddings"
ENDINGS = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}
FAST: dict[str, object] = {"GATEWAY_WORKERS": 2, "MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000}

Samples = dict[str, float]


def said(**options: Any) -> dict[str, Any]:
    return {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, **options}


LONG = said(max_tokens=5000, ignore_eos=True, stream=True)


def of(family: Family, samples: Samples) -> Samples:
    """The family's samples that are not 0."""
    names = {family.name + ending for ending in ENDINGS[family.kind]}
    return {sample: value for sample, value in samples.items() if sample.partition("{")[0] in names and value}


class Scene:
    """A gateway, and what has moved since it was looked at first.

    Args:
        families: those that are to move.
        before: the samples of the first look.
    """

    def __init__(self, gateway: Gateway, families: tuple[Family, ...], before: Samples) -> None:
        self.gateway = gateway
        self._families = families
        self._before = before
        self._moved: set[Family] = set()

    def still(self, *families: Family) -> list[str]:
        """Those of the families, of all if none are named, that have not moved yet."""
        wanted = families or self._families
        now = self.gateway.metrics()
        self._moved |= {family for family in wanted if of(family, now) != of(family, self._before)}
        return [family.name for family in wanted if family not in self._moved]

    def until(self, *families: Family) -> None:
        """Wait until they have moved, all if none are named."""
        left: list[str] = []

        def moved() -> bool:
            left[:] = self.still(*families)
            return not left

        try:
            wait_until(moved)
        except AssertionError:
            raise AssertionError(f"never moved: {left}") from None

    def ask(self, body: dict[str, Any], path: str = CHAT) -> int:
        """The status of one answer."""
        with self.gateway.client() as client:
            return client.post(path, json=body).status_code


class House:
    """Where a stage finds its backends, and starts its gateway."""

    def __init__(self, fleet: Fleet, folder: Path, families: tuple[Family, ...], stack: ExitStack) -> None:
        self.fleet = fleet
        self.folder = folder
        self._families = families
        self._stack = stack

    def open(self, *, from_nothing: bool = False, **settings: object) -> Scene:
        """Start a gateway; what it shows by then has not moved, unless it is to begin from nothing."""
        gateway = self._stack.enter_context(Gateway(self.folder, **{**self.fleet.settings(), **FAST, **settings}))
        wait_until(gateway.well)
        return Scene(gateway, self._families, {} if from_nothing else gateway.metrics())


class Stage(NamedTuple):
    """What is done, and the families that move by it."""

    act: Callable[[House], None]
    families: tuple[Family, ...]


STAGES: list[Stage] = []


def moves(*families: Family) -> Callable[[Callable[[House], None]], Callable[[House], None]]:
    """The function is a stage of these families."""

    def enter(act: Callable[[House], None]) -> Callable[[House], None]:
        STAGES.append(Stage(act, families))
        return act

    return enter


@moves(
    processes.BUILD,
    processes.CONFIG,
    processes.START_TIME,
    processes.WORKERS,
    processes.WORKERS_CONFIGURED,
    processes.PROCESS_CPU,
    processes.PROCESS_RESIDENT,
    processes.LOOP_LAG,
    stores.STORE_SECONDS,
    books.DATABASE_UP,
    books.DATABASE_SECONDS,
    books.KEYS_PUBLISHED,
    hosts.HOSTS,
    backends.BACKEND_STATE,
    backends.BACKEND_PROBE,
    backends.BACKEND_CIRCUIT,
    limits.RETRY_BUDGET,
)
def a_start(house: House) -> None:
    """A gateway says that it is there, and how."""
    house.open(from_nothing=True).until()


RUNNING = (
    requests.IN_FLIGHT,
    backends.BACKEND_IN_FLIGHT,
    processes.CONNECTIONS,
    limits.SLOTS_HELD,
    limits.ORGANIZATION_IN_FLIGHT,
    limits.ORGANIZATION_LIMIT,
)
"""What shows a request while it runs."""


@moves(
    *RUNNING,
    requests.REQUESTS,
    requests.TOKENS,
    requests.QUEUE_WAIT,
    requests.FIRST_TOKEN,
    requests.DURATION,
    requests.OVERHEAD,
    requests.DISCONNECTS,
    streams.INTER_TOKEN,
    streams.OUTPUT_RATE,
    streams.STREAM_ENDINGS,
    limits.ORGANIZATION_QUOTA_USED,
    books.USAGE_RECORDS,
    cached.CACHE_REQUESTS,
    cached.CACHE_BYTES_ADDED,
    cached.CACHE_BYTES_DROPPED,
    cached.CACHE_EVICTIONS,
)
def traffic(house: House) -> None:
    """A stream whose client leaves, one that ends, a whole answer, and some of which only the last is kept."""
    scene = house.open(CACHE_TTL_SECS=60, CACHE_MAX_ENTRIES=1, ORG_DAILY_REQUEST_LIMIT=100_000)
    for name in ("chat0", "chat1"):
        house.fleet[name].set_pace(token_ms=5)
    with RawClient(scene.gateway.port) as client:
        client.post(CHAT, LONG).until(b'"content":"')
        scene.until(*RUNNING)
    assert scene.ask(said(stream=True, stream_options={"include_usage": True})) == 200
    assert scene.ask(said()) == 200
    for word in ("one", "another"):
        assert scene.ask({"model": "Snowflake/snowflake-arctic-embed-l-v2.0", "input": word}, EMBED) == 200
    scene.until()


@moves(
    requests.QUEUED,
    requests.SEATS_WAITING,
    backends.BACKEND_LIMIT,
    limits.ORGANIZATION_QUEUED,
    limits.REFUSALS,
)
def a_crowd(house: House) -> None:
    """One request runs at each backend, one waits for a seat, one for a slot, and one is too many."""
    bounds: dict[str, Any] = {"MAX_INFLIGHT_PER_IP": 3, "MAX_QUEUED_PER_IP": 1, "MAX_INFLIGHT_PER_BACKEND": 1}
    scene = house.open(from_nothing=True, **bounds, QUEUE_TIMEOUT_SECS=60)
    for name in ("chat0", "chat1"):
        house.fleet[name].set_pace(token_ms=20)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(RawClient(scene.gateway.port)).post(CHAT, LONG)
        scene.until(requests.QUEUED, requests.SEATS_WAITING, limits.ORGANIZATION_QUEUED)
        assert scene.ask(said()) == 429
        scene.until()


@moves(
    backends.RETRIES,
    backends.BACKEND_SIGNALS,
    backends.CIRCUIT_CHANGES,
    backends.FALLBACKS,
    backends.BACKEND_DRIFT,
    backends.BACKEND_ENGINE,
)
def troubles(house: House) -> None:
    """A backend is full, then both are; one fails again and again; and somebody else's request runs at it."""
    scene = house.open(CHAT_FALLBACK="text2sql")
    chat0, chat1 = house.fleet["chat0"], house.fleet["chat1"]

    def answered(family: Family) -> bool:
        return scene.ask(said()) == 200 and not scene.still(family)

    for server, family in ((chat0, backends.RETRIES), (chat1, backends.FALLBACKS)):
        server.set_fault("status", status=503, form="queue_full", path=CHAT)
        wait_until(partial(answered, family))
    chat0.set_fault("status", status=500, path=CHAT)
    wait_until(lambda: scene.ask(said()) and not scene.still(backends.BACKEND_SIGNALS, backends.CIRCUIT_CHANGES))
    chat0.clear()
    chat0.set_pace(token_ms=20)
    known = {"authorization": f"Bearer {BACKEND_KEY}"}
    with httpx.stream("POST", chat0.url + CHAT, json=LONG, headers=known, trust_env=False) as answer:
        assert answer.status_code == 200
        scene.until()


@moves(
    processes.RELOADS,
    processes.CONFIG,
    processes.WORKER_RESTARTS,
    processes.CONTROL_DEATHS,
    processes.BLOCKED,
)
def deaths(house: House) -> None:
    """Other settings are read; then a worker dies, the control process dies, and another worker stands still."""
    scene = house.open(WORKER_BLOCKED_SECS=1)
    gateway = scene.gateway
    (house.folder / ".env").write_text("QUEUE_TIMEOUT_SECS=3\n")
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: gateway.events("reloaded") and len(gateway.worker_pids()) == 2)
    wait_until(lambda: len(gateway.events("control_serving")) >= 2 and len(controls(gateway)) == 1)
    killed, stopped = gateway.worker_pids()
    for pid in (killed, *controls(gateway)):
        os.kill(pid, signal.SIGKILL)  # processes of this test's own gateway
    os.kill(stopped, signal.SIGSTOP)
    try:
        scene.until()
    finally:
        os.kill(stopped, signal.SIGCONT)


@moves(
    books.DATABASE_ERRORS,
    books.USAGE_SPOOL,
    books.USAGE_LAG,
    books.USAGE_JOURNAL,
)
def a_locked_database(house: House) -> None:
    """Another program keeps the database's one lock, while requests are to be booked."""
    scene = house.open(DATA_PATH=house.folder / "data", DATABASE_TIMEOUT_SECS=1)
    wait_until(lambda: scene.gateway.events("control_on_duty"))
    wait_until(lambda: scene.gateway.metrics()["gateway_database_up"])
    with closing(sqlite3.connect(house.folder / "data" / "gateway.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        wait_until(lambda: scene.ask(said()) == 200 and not scene.still())
        connection.execute("ROLLBACK")


@moves(
    processes.LOG_LINES_DROPPED,
    processes.AUDIT_RECORDS,
    processes.AUDIT_RECORDS_DROPPED,
)
def a_full_disk(house: House) -> None:
    """No file of a worker's can grow any more."""
    scene = house.open(AUDIT_LOG="metadata", AUDIT_PATH=house.folder / "audit")
    assert scene.ask(said()) == 200
    scene.until(processes.AUDIT_RECORDS)
    for pid in scene.gateway.worker_pids():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]))
    wait_until(lambda: scene.ask(said()) == 200 and not scene.still())


@moves(
    hosts.HOSTS,
    hosts.LIMITS_SPLIT,
)
def a_neighbour(house: House) -> None:
    """Another host begins to use the database."""
    shared: dict[str, Any] = {"DATABASE_URL": f"sqlite:///{house.folder}/shared.db", "KEY_HASH_SECRET": SECRET}
    scene = house.open(**shared)
    wait_until(lambda: scene.gateway.metrics()["gateway_hosts"])
    there = house.folder / "neighbour"
    there.mkdir()
    with Gateway(there, **house.fleet.settings(), **shared):
        scene.until()


@moves(
    hosts.LIMITS_NOT_SHARED,
    hosts.LIMITS_OUTAGES,
    stores.STORE_ERRORS,
)
def a_lost_server(house: House) -> None:
    """The server that all hosts share dies between two requests."""
    with running() as server:
        scene = house.open(REDIS_URL=server.url)
        assert scene.ask(said()) == 200
        server.send(signal.SIGSTOP)  # a death would be seen before the next request asks
        assert scene.ask(said()) == 200
        scene.until()


@moves(
    processes.CERTIFICATE_EXPIRY,
    processes.TLS_PROBE_UP,
    processes.TRACES_EXPORTED,
    processes.TRACES_DROPPED,
)
def things_around(house: House) -> None:
    """Somebody serves TLS; and a collector takes what requests leave, until it does not any more."""
    with taking() as collector, taking(self_signed(house.folder)[1]) as edge:
        traced = {"OTEL_TRACES_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}"}
        scene = house.open(from_nothing=True, TLS_PROBE_ADDRESSES=edge.address, **traced)
        assert scene.ask(said()) == 200
        scene.until(processes.CERTIFICATE_EXPIRY, processes.TLS_PROBE_UP, processes.TRACES_EXPORTED)
        collector.status = 400
        wait_until(lambda: scene.ask(said()) == 200 and not scene.still())


@pytest.fixture(scope="module")
def servers() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield start_fleet(stack, "chat0", "chat1", "text2sql", "embed")


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.act.__name__)
def test_what_a_stage_is_about_moves(stage: Stage, fleet: Fleet, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stage.act(House(fleet, tmp_path, stage.families, stack))


def test_updates_that_find_no_room_are_counted() -> None:
    """No gateway comes so far, which is what the family is to show."""
    totals = Totals()
    with totals.page() as page:
        metrics = Metrics(page)
        for number in range(VALUES):
            metrics.count(requests.DISCONNECTS, str(number))
        assert totals.sums()[processes.UPDATES_LOST.name][()] > [0]


def test_every_family_has_a_stage() -> None:
    moved = {family for stage in STAGES for family in stage.families} | {processes.UPDATES_LOST}
    assert [family.name for family in CATALOGUE if family not in moved] == []
