"""Models that come, change and go at a real gateway: in force at every worker in a second, and nobody is disturbed."""

import itertools
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.catalog.head import FOLDER
from gateway.catalog.publisher import Publisher
from gateway.core.clock import SystemClock
from gateway.database.rows import Backend, Model
from gateway.fleet.edition import Rows, compose
from gateway.fleet.merge import static_roster
from gateway.settings import load
from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import BACKEND_KEY, KEY, Gateway, in_threads, wait_until
from tests.support.simulators import Simulator

PATH = "/v1/chat/completions"
WORKERS = 2
IN_FORCE_SECS = 1.0
STREAMED_TOKENS = 60


class Control:
    """What a control process does about models: rows of a database that the test holds in its hands."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self._clock = SystemClock()
        self.publisher = Publisher(folder / FOLDER, self._clock)
        assert self.publisher.open()  # before the gateway's own control process can
        required = {"gateway_api_key": KEY, "backend_api_key": BACKEND_KEY}
        described = {name.lower(): value for name, value in fleet.settings().items()}
        self._static = static_roster(load(None, **required, **described))
        self._blob = b""
        self.publisher.replace_all(keys=[], organizations={}, models=b"")

    def publish(self, models: list[Model], backends: list[Backend], drained: set[str] | None = None) -> float:
        """Publish these and no others; when that was, on the monotonic clock."""
        rows = Rows(models, backends, drained or set())
        now = self._clock.monotonic()
        self._blob = compose(self._static, rows, before=self._blob, now=now, rest_secs=60)
        self.publisher.publish(models=self._blob)
        self.publisher.beat()
        return now


@pytest.fixture
def third() -> Iterator[Simulator]:
    """A server that the settings do not know."""
    with Simulator(["Coder", "--served-model-name", "coder-7b", "--api-key", BACKEND_KEY]) as server:
        yield server


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gw-", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def control(chat_fleet: Fleet, memory: Path) -> Iterator[Control]:
    made = Control(memory, chat_fleet)
    yield made
    made.publisher.close()


@pytest.fixture
def gateway(chat_fleet: Fleet, control: Control, memory: Path, make_gateway: MakeGateway) -> Gateway:
    del control  # it comes first
    return make_gateway(
        chat_fleet,
        LIMITER_PATH=memory,
        GATEWAY_WORKERS=WORKERS,
        MAX_RPS_PER_IP=10_000,
        RPS_BURST=10_000,
        CACHE_TTL_SECS=0,
        BALANCING_POLICY="weighted_round_robin",
    )


def ask(gateway: Gateway, model: str, **more: Any) -> httpx.Response:
    """One answer, on a connection of its own: whichever worker takes it."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, **more}
    with gateway.client() as client:
        return client.post(PATH, json=body)


def holds_within(secs: float, since: float, holds: Callable[[], bool]) -> None:
    """It holds at all workers by then: many connections in a row find nobody who is behind."""
    time.sleep(max(0.0, since + secs - time.monotonic()))  # the promise is one of time
    assert all(holds() for _ in range(8 * WORKERS))


def sent_to(server: Simulator, known: int) -> int:
    return len(server.ledger()) - known


def test_a_model_comes_changes_drains_and_goes_under_load_and_no_request_notices(
    gateway: Gateway, control: Control, third: Simulator, chat_fleet: Fleet
) -> None:
    coder = Model(alias="coder", kind="chat", model="coder-7b")
    server = Backend(name="coder0", model="coder", url=third.url)
    for one in chat_fleet.servers.values():
        one.set_pace(token_ms=20)
    stop = threading.Event()
    streams, answers = itertools.count(), itertools.count()

    body = {
        "model": "qwen",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "max_tokens": STREAMED_TOKENS,
        "ignore_eos": True,
    }

    def stream() -> None:
        with gateway.client() as client:
            while not stop.is_set():
                with client.stream("POST", PATH, json=body) as answer:
                    assert answer.status_code == 200
                    said = b"".join(answer.iter_bytes())
                assert said.endswith(b"data: [DONE]\n\n")
                assert b'"error"' not in said
                next(streams)

    def load_with_answers(number: int) -> None:
        if number < 4:
            stream()
            return
        with gateway.client() as client:
            while not stop.is_set():
                answer = client.post(PATH, json={**body, "stream": False, "max_tokens": 1})
                assert answer.status_code == 200, answer.text
                next(answers)

    with in_threads(6, load_with_answers) as failures:
        try:
            assert ask(gateway, "coder").status_code == 404
            since = control.publish([coder], [server])
            holds_within(IN_FORCE_SECS, since, lambda: ask(gateway, "coder").status_code == 200)
            with gateway.client() as client:
                assert "coder" in {model["id"] for model in client.get("/v1/models").json()["data"]}

            # Shaped from the next request on.
            shaped = Model(
                alias="coder",
                kind="chat",
                model="coder-7b",
                settings={"system_prompt_prefix": "Be brief.", "forced_parameters": {"max_tokens": 1}},
            )
            since = control.publish([shaped], [server])
            holds_within(IN_FORCE_SECS, since, lambda: ask(gateway, "coder").json()["usage"]["completion_tokens"] == 1)

            since = control.publish([shaped], [server], drained={"coder0"})
            holds_within(IN_FORCE_SECS, since, lambda: ask(gateway, "coder").status_code == 503)
            since = control.publish([shaped], [server])
            holds_within(IN_FORCE_SECS, since, lambda: ask(gateway, "coder").status_code == 200)
            since = control.publish([], [])
            holds_within(IN_FORCE_SECS, since, lambda: ask(gateway, "coder").status_code == 404)
        finally:
            stop.set()
    assert not failures, failures
    assert next(streams) > 4
    assert next(answers) > 20
    assert gateway.worker_pids()
    assert not gateway.events("models_not_followed")


def test_a_weight_is_kept_from_the_next_turn_on_and_a_drained_backend_of_the_settings_gets_nothing(
    gateway: Gateway, control: Control, chat_fleet: Fleet
) -> None:
    with Simulator("chat", "--api-key", BACKEND_KEY) as extra:
        added = Backend(name="chat9", model="qwen", url=extra.url, weight=8)
        control.publish([], [added])
        wait_until(lambda: ask(gateway, "qwen").status_code == 200 and extra.ledger())
        known = len(extra.ledger())
        for _ in range(50):
            assert ask(gateway, "qwen").status_code == 200
        assert sent_to(extra, known) == pytest.approx(40, abs=3)

        since = control.publish([], [Backend(name="chat9", model="qwen", url=extra.url, weight=2)])
        time.sleep(max(0.0, since + IN_FORCE_SECS - time.monotonic()))
        known = len(extra.ledger())
        for _ in range(40):
            assert ask(gateway, "qwen").status_code == 200
        assert sent_to(extra, known) == pytest.approx(20, abs=3)

        since = control.publish([], [added], drained={"chat0", "chat1"})
        time.sleep(max(0.0, since + IN_FORCE_SECS - time.monotonic()))
        before = {name: len(server.ledger()) for name, server in chat_fleet.servers.items()}
        for _ in range(20):
            assert ask(gateway, "qwen").status_code == 200
        assert {name: len(server.ledger()) for name, server in chat_fleet.servers.items()} == before
        report = {one["name"]: one for one in gateway.report()["backends"]}
        assert report["chat0"]["reason"] == "drained"

        since = control.publish([], [])
        time.sleep(max(0.0, since + IN_FORCE_SECS - time.monotonic()))
        known = len(extra.ledger())
        for _ in range(20):
            assert ask(gateway, "qwen").status_code == 200
        assert sent_to(extra, known) == 0


def test_a_stream_ends_at_a_backend_that_was_removed_meanwhile(gateway: Gateway, control: Control) -> None:
    with Simulator(["Coder", "--served-model-name", "coder-7b", "--api-key", BACKEND_KEY]) as server:
        server.set_pace(token_ms=30)
        row = Backend(name="coder0", model="coder", url=server.url)
        control.publish([Model(alias="coder", kind="chat", model="coder-7b")], [row])
        wait_until(lambda: ask(gateway, "coder").status_code == 200)
        body = {"model": "coder", "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 80}
        with gateway.client() as client, client.stream("POST", PATH, json={**body, "ignore_eos": True}) as answer:
            pieces = answer.iter_bytes()
            said = next(pieces)
            control.publish([], [])
            wait_until(lambda: ask(gateway, "coder").status_code == 404)
            said += b"".join(pieces)
        assert said.endswith(b"data: [DONE]\n\n")
        last = [orjson.loads(line[6:]) for line in said.split(b"\n\n") if line.startswith(b"data: {")][-1]
        assert last["choices"][0]["finish_reason"] == "length"


def test_a_reload_changes_nothing_about_models_that_the_settings_do_not_know(
    gateway: Gateway, control: Control, third: Simulator
) -> None:
    row = Backend(name="coder0", model="coder", url=third.url)
    control.publish([Model(alias="coder", kind="chat", model="coder-7b")], [row], drained={"chat0"})
    wait_until(lambda: ask(gateway, "coder").status_code == 200)
    wait_until(lambda: ("coder0", "healthy") in {(one["name"], one["state"]) for one in gateway.report()["backends"]})
    before = set(gateway.worker_pids())
    stop = threading.Event()
    served = itertools.count()

    def load_while_reloading(_: int) -> None:
        while not stop.is_set():
            assert ask(gateway, "coder").status_code == 200
            next(served)

    with in_threads(2, load_while_reloading) as failures:
        try:
            gateway.signal(signal.SIGHUP)
            wait_until(lambda: gateway.events("reloaded"))
            wait_until(lambda: not before & set(gateway.worker_pids()))
            report = {one["name"]: one for one in gateway.report()["backends"]}
        finally:
            stop.set()
    assert not failures, failures
    assert report["coder0"]["state"] == "healthy", "what the last generation's prober knew is not forgotten"
    assert report["chat0"]["reason"] == "drained"
    assert next(served) > 10
