"""Do four books agree? Figures, log, ledger and the backends' own, over mixed requests and the death of a worker.

`make test` asks 1,000 requests, `make chaos` 10,000. What is said of a request that runs in the killed worker is
asserted as equality, like everything else:

- its client sees an answer that ends without its end;
- the figures and the log say nothing: a request is counted and written down when it ends, and it never did;
- the ledger has it once, as `worker_died`;
- the backend has it once, as a request whose client left.
"""

import http.client
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import orjson
import pytest

from gateway.core.usage_record import UsageRecord
from tests.e2e.conftest import Fleet, MakeGateway
from tests.e2e.test_workers import holder, serving
from tests.support import ledger
from tests.support.gateway import KEY, Gateway, RawClient, in_threads, wait_until

SERVERS = ("chat0", "chat1", "embed")
IN_MAKE_TEST, IN_MAKE_CHAOS = 1_000, 10_000
CLIENTS = 8
EACH = 20
"""Requests on one connection: the kernel then chooses a worker for the next."""
STREAMS = 6
"""Of the killed worker's, which are in mid-stream when it dies."""
SETTINGS: dict[str, object] = {
    "GATEWAY_WORKERS": 4,
    "MAX_RPS_PER_IP": 100_000,
    "RPS_BURST": 100_000,
    "FAILED_AUTH_BURST": 100_000,
    "CIRCUIT_FAILURE_THRESHOLD": 1_000_000,
}
CHAT, EMBED = "/v1/chat/completions", "/v1/embeddings"


def said(**options: Any) -> dict[str, Any]:
    return {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, **options}


class Kind(NamedTuple):
    """A request, and what must be said of it everywhere."""

    path: str
    body: dict[str, Any]
    status: int
    outcome: str
    shown: str = ""
    """The path in figures, where it is another."""
    key: str = KEY
    leaves: bool = False
    """After the first event of its stream."""

    @property
    def runs(self) -> bool:
        """Whether a backend gets it, and the ledger."""
        return self.status == 200 or self.outcome == "backend_400"


KINDS = (
    Kind(CHAT, said(), 200, "ok"),
    Kind(CHAT, said(stream=True), 200, "ok"),
    Kind(CHAT, said(stream=True, stream_options={"include_usage": True}), 200, "ok"),
    Kind("/v1/completions", {"model": "qwen", "prompt": "hello", "max_tokens": 5}, 200, "ok"),
    Kind("/v1/messages", said(), 200, "ok"),
    Kind(EMBED, {"model": "Snowflake/snowflake-arctic-embed-l-v2.0", "input": ["one", "two"]}, 200, "ok"),
    Kind(CHAT, said(stream=True, max_tokens=5000, ignore_eos=True), 200, "client_gone", leaves=True),
    Kind(CHAT, said(), 401, "invalid_api_key", key="sk-nobody"),
    Kind(CHAT, said(model="made-up"), 404, "model_not_found"),
    Kind(CHAT, said(temperature="hot"), 400, "backend_400"),
    Kind(CHAT, said(n=16_384), 400, "invalid_request"),
    Kind("/v1/nowhere", said(), 404, "not_found", shown="other"),
)

PATHS = {kind.path for kind in KINDS}
ENDED = {"ok": "finished", "client_gone": "aborted", "backend_400": "refused"}
"""What a backend says of a request, by what the gateway says of it."""
LONG = said(stream=True, max_tokens=5000, ignore_eos=True)
FAST_MS = 1
SLOW_MS = 20
"""A token: LONG then takes 100 s, and so is running whenever its worker is killed."""


class Seen(NamedTuple):
    """What a client saw of its request."""

    kind: Kind
    status: int
    request_id: str


class Crowd:
    """Clients that ask, and what each of them saw.

    Args:
        most: how many requests there are in all.
    """

    def __init__(self, gateway: Gateway, most: int) -> None:
        self.seen: list[Seen] = []
        self._gateway = gateway
        self._most = most
        self._rounds = 0

    @contextmanager
    def asking(self, share: float, spared: int = 0) -> Iterator[Event]:
        """Ask until that share of all was asked, or the event is set; on no connection of the worker that is spared."""
        self._rounds += 1
        over, round_ = Event(), self._rounds

        def work(number: int) -> None:
            chance = random.Random(CLIENTS * round_ + number)  # noqa: S311 -- a test's dice
            while not over.is_set() and len(self.seen) < self._most * share:
                with connected(self._gateway, spared) as connection:
                    for _ in range(EACH):
                        self.seen.append(ask(connection, chance.choice(KINDS)))
                        if self.seen[-1].kind.leaves or connection.sock is None or over.is_set():
                            break  # another connection would be some other worker's

        with in_threads(CLIENTS, work) as failures:
            yield over
        assert failures == []


@contextmanager
def connected(gateway: Gateway, spared: int) -> Iterator[http.client.HTTPConnection]:
    """A connection to any worker but that one."""
    while True:
        with RawClient(gateway.port) as raw:
            if spared and is_of(gateway, raw, spared):
                continue
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port)
            connection.sock, connection.auto_open = raw.socket, 0
            yield connection
            connection.close()
            return


def is_of(gateway: Gateway, client: RawClient, worker: int) -> bool:
    """Whether that worker holds the connection, or may have held it before it died."""

    def known() -> int | None:
        try:
            return holder(gateway, client) or (worker not in gateway.worker_pids() and worker) or None
        except FileNotFoundError:  # a worker has just died
            return None

    found: int = wait_until(known)
    return found == worker


def ask(connection: http.client.HTTPConnection, kind: Kind) -> Seen:
    """One request, to its end or to where its client leaves."""
    fields = {"authorization": f"Bearer {kind.key}", "content-type": "application/json"}
    connection.request("POST", kind.path, orjson.dumps(kind.body), fields)
    answer = connection.getresponse()
    seen = Seen(kind, answer.status, answer.headers["x-request-id"])
    if kind.leaves:
        answer.readline()
    else:
        answer.read()
    return seen


def pace(fleet: Fleet, token_ms: float) -> None:
    """How fast the chat servers write."""
    for name in ("chat0", "chat1"):
        fleet[name].set_pace(token_ms=token_ms)


def kill_in_midstream(gateway: Gateway, fleet: Fleet, crowd: Crowd) -> set[str]:
    """Kill a worker with streams of its own, while the others are asked; the ids of those streams."""
    victim = gateway.worker_pids()[0]
    pace(fleet, SLOW_MS)
    wait_until(
        lambda: {one.request_id for one in crowd.seen} <= {line["request_id"] for line in gateway.access_lines()}
    )
    with ExitStack() as stack, crowd.asking(1.0, spared=victim) as enough:
        streams: list[RawClient] = []
        while len(streams) < STREAMS:
            client = stack.enter_context(RawClient(gateway.port))
            if serving(gateway, client) == victim:
                streams.append(client.post(CHAT, LONG))
        for client in streams:
            client.until(b'"content":"')
        os.kill(victim, signal.SIGKILL)  # a worker of this test's own gateway
        for client in streams:
            assert not client.rest().endswith(b"0\r\n\r\n")
        enough.set()
    pace(fleet, FAST_MS)
    heads = [client.received.lower().partition(b"x-request-id: ")[2] for client in streams]
    return {head.partition(b"\r\n")[0].decode() for head in heads}


def series(gateway: Gateway, family: str) -> dict[frozenset[tuple[str, str]], int]:
    """A family's samples above zero, by their labels."""
    found = {}
    for sample, value in gateway.metrics().items():
        name, _, labels = sample.partition("{")
        if name == family and value:
            found[frozenset(re.findall(r'(\w+)="([^"]*)"', labels))] = int(value)
    return found


def total(gateway: Gateway, family: str, **labels: str) -> int:
    """The sum of a family's samples that have these labels."""
    return sum(value for found, value in series(gateway, family).items() if labels.items() <= found)


class Books:
    """What the four of them say in the end."""

    def __init__(self, gateway: Gateway, fleet: Fleet, data: Path) -> None:
        self.lines = [line for line in gateway.access_lines() if line["path"] in PATHS]
        self.figures = series(gateway, "gateway_requests_total")
        self.booked = ledger.booked(data / "gateway.db")
        self.ran = [row for name in SERVERS for row in fleet[name].settled()]


def by_id(rows: list[Any]) -> dict[str, Any]:
    """The rows by their requests, each of which has one."""
    found = {row.request_id if isinstance(row, UsageRecord) else row["request_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.timeout(600)
def test_figures_log_ledger_and_backends_agree_though_a_worker_is_killed(
    fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole = request.config.pluginmanager.hasplugin("tests.chaos.plugin")
    data = tmp_path / "data"
    gateway = make_gateway(fleet, DATA_PATH=data, **SETTINGS)
    wait_until(gateway.well)
    pace(fleet, FAST_MS)
    crowd = Crowd(gateway, IN_MAKE_CHAOS if whole else IN_MAKE_TEST)
    with crowd.asking(0.5):
        pass
    ids = {one.request_id for one in crowd.seen if one.kind.runs}
    wait_until(lambda: ids == by_id(ledger.booked(data / "gateway.db")).keys())
    killed = kill_in_midstream(gateway, fleet, crowd)
    with crowd.asking(1.0):
        pass
    ids = killed | {one.request_id for one in crowd.seen if one.kind.runs}
    wait_until(lambda: len(ledger.booked(data / "gateway.db")) >= len(ids))
    wait_until(lambda: len(gateway.access_lines()) >= len(crowd.seen))
    wait_until(gateway.idle)
    books = Books(gateway, fleet, data)
    check_requests(crowd.seen, books)
    check_what_ran(ids, killed, books)
    check_tokens(killed, books, gateway)
    assert total(gateway, "gateway_usage_records_total", fate="written") == len(ids)
    assert total(gateway, "gateway_usage_records_total", fate="lost") == 0
    assert total(gateway, "gateway_client_disconnects_total") == sum(one.kind.leaves for one in crowd.seen)
    assert series(gateway, "gateway_worker_restarts_total") == {frozenset({("reason", "killed")}): 1}


def check_requests(seen: list[Seen], books: Books) -> None:
    """Every request that was answered or left is in the log and in the figures once, under the same words."""
    lines = by_id(books.lines)
    assert lines.keys() == {one.request_id for one in seen}
    for one in seen:
        line = lines[one.request_id]
        assert (one.status, line["status"], line["outcome"]) == (one.kind.status, one.kind.status, one.kind.outcome)
    shown = {kind.path: kind.shown or kind.path for kind in KINDS}
    in_log = Counter(
        frozenset(
            {
                ("path", shown[line["path"]]),
                ("model", line["model"] or ""),
                ("status", str(line["status"])),
                ("outcome", line["outcome"]),
            }
        )
        for line in books.lines
    )
    assert {
        labels: count for labels, count in books.figures.items() if dict(labels)["path"] in shown.values()
    } == in_log


def check_what_ran(ids: set[str], killed: set[str], books: Books) -> None:
    """What a backend ran stands in the ledger once, under the outcome that the log has; and nothing else does."""
    lines, booked, ran = by_id(books.lines), by_id(books.booked), by_id(books.ran)
    assert len(killed) == STREAMS
    assert not killed & lines.keys()
    assert booked.keys() == ran.keys() == ids
    for name, record in booked.items():
        if name in killed:
            assert (record.outcome, ran[name]["ended"]) == ("worker_died", "aborted")
        else:
            assert (record.status, record.outcome) == (lines[name]["status"], lines[name]["outcome"])
            assert ran[name]["ended"] == ENDED[record.outcome]


def check_tokens(killed: set[str], books: Books, gateway: Gateway) -> None:
    """Of a request that ended well all four have the backend's own tokens; of others the ledger has an estimate."""
    lines, booked, ran = by_id(books.lines), by_id(books.booked), by_id(books.ran)
    for name in booked.keys() - killed:
        if lines[name]["outcome"] == "ok":
            said = {
                (lines[name]["prompt_tokens"], lines[name]["completion_tokens"]),
                (booked[name].prompt_tokens, booked[name].completion_tokens),
                (ran[name]["prompt_tokens"], ran[name]["completion_tokens"]),
            }
            assert len(said) == 1, (lines[name], said)
    for direction in ("prompt", "completion"):
        in_log = sum(line[f"{direction}_tokens"] or 0 for line in books.lines)
        assert total(gateway, "gateway_tokens_total", direction=direction) == in_log
