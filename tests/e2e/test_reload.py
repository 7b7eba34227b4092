"""A reload under a steady load loses nothing: no request, no stream, no POST on a connection that a proxy keeps."""

import errno
import http.client
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import orjson
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support import nginx
from tests.support.gateway import KEY, Gateway, RawClient, in_threads, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
BOTH = ("chat0", "chat1")
LIMITLESS = {"MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000}
RELOADS = 3
START_SECS = 30.0

Connect = Callable[[], http.client.HTTPConnection]


def reload(gateway: Gateway, times: int) -> None:
    """Reload, and wait until the new workers serve: the `times`th reload that came about."""
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: len(gateway.events("reloaded")) == times, START_SECS, "there was no reload")


def settled(gateway: Gateway, workers: int) -> bool:
    """Whether the old workers have gone."""
    return len(gateway.worker_pids()) == workers


def post(connection: http.client.HTTPConnection, **body: object) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection is kept."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    connection.request("POST", PATH, orjson.dumps({**BODY, **body}), headers)
    answer = connection.getresponse()
    return answer.status, answer.read(), not answer.will_close


class Load:
    """Clients that ask again and again, each on a connection of its own that it keeps while it may."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._over = threading.Event()
        self._counting = threading.Lock()
        self.answers = 0
        self.wrong: list[object] = []

    def whole(self, _: int) -> None:
        """JSON answers. http.client follows a `connection: close` with a new connection, and sends nothing twice."""
        self._ask(lambda body: b'"finish_reason"' in body, stream=False)

    def streamed(self, _: int) -> None:
        """Streams of 40 events."""
        self._ask(lambda body: body.endswith(b"data: [DONE]\n\n"), stream=True, max_tokens=40)

    def _ask(self, complete: Callable[[bytes], bool], **body: object) -> None:
        with closing(self._connect()) as connection:
            while not self._over.is_set():
                try:
                    status, answer, _ = post(connection, **body)
                except (OSError, http.client.HTTPException) as error:
                    self.wrong.append(error)
                    connection.close()
                    continue
                if status != 200 or not complete(answer):
                    self.wrong.append((status, answer[-300:]))
                with self._counting:
                    self.answers += 1

    @contextmanager
    def running(self, clients: int) -> Iterator[None]:
        """Half of the clients stream."""
        work = (self.whole, self.streamed)
        with in_threads(clients, lambda number: work[number % 2](number)) as failures:
            try:
                wait_until(lambda: self.answers > clients, START_SECS)
                yield
                enough = self.answers + clients
                wait_until(lambda: self.answers > enough, START_SECS)
            finally:
                self._over.set()
        assert failures == []


def reload_under_load(gateway: Gateway, fleet: Fleet, load: Load) -> None:
    for name in BOTH:
        fleet[name].set_pace(ttft_ms=5, token_ms=5)
    gateway_workers = len(gateway.worker_pids())
    generations = [set(gateway.worker_pids())]
    with load.running(8):
        for number in range(1, RELOADS + 1):
            reload(gateway, number)
            generations.append(set(gateway.worker_pids()) - set().union(*generations))
    assert [len(generation) for generation in generations] == [gateway_workers] * (RELOADS + 1)
    served = {line["request_id"][:17] for line in gateway.access_lines() if line["method"] == "POST"}
    prefixes = [event["request_ids"] for event in gateway.events("worker_serving")]
    assert len(set(prefixes)) == len(prefixes) == gateway_workers * (RELOADS + 1)
    assert served <= set(prefixes)
    assert not gateway.events("worker_died")
    name = 'gateway_requests_total{model="chat",outcome="ok",path="/v1/chat/completions",status="200"}'
    assert gateway.metrics()[name] == load.answers == fleet.requests()
    wait_until(gateway.idle)


def test_three_reloads_under_load_lose_nothing(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, **LIMITLESS)
    load = Load(lambda: http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30))
    reload_under_load(gateway, chat_fleet, load)
    assert load.wrong == []
    wait_until(lambda: settled(gateway, 2))


@pytest.mark.timeout(180)
def test_three_reloads_under_load_behind_nginx_lose_no_post_of_a_kept_connection(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, TRUSTED_PROXIES="127.0.0.1", **LIMITLESS)
    server = nginx.start_nginx(gateway.port, metrics_port=gateway.metrics_port)
    try:
        trust = ssl.create_default_context(cafile=str(server.ca_file))
        load = Load(lambda: http.client.HTTPSConnection("127.0.0.1", server.https_port, timeout=30, context=trust))
        reload_under_load(gateway, chat_fleet, load)
    finally:
        server.stop()
    assert load.wrong == []
    wait_until(lambda: settled(gateway, 2))


def test_a_kept_connection_of_an_old_worker_is_answered_once_more_and_told_to_close(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=1, **LIMITLESS)
    for name in BOTH:
        chat_fleet[name].set_pace(token_ms=5)
    (old,) = gateway.worker_pids()
    idle = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    assert post(idle)[2] is True
    with RawClient(gateway.port) as begun:
        begun.post(PATH, {**BODY, "max_tokens": 200, "ignore_eos": True, "stream": True}).until(b"data: ")
        reload(gateway, 1)
        assert old in gateway.worker_pids()
        # Its head is out, without `connection: close`: whoever keeps the connection may use it once more.
        begun.until(b"0\r\n\r\n")
        begun.received = b""
        begun.post(PATH, BODY).until(b"\r\n\r\n")
        assert b"connection: close" in begun.received.lower()
        assert b'"finish_reason"' in begun.rest()
    status, _, kept = post(idle)
    assert (status, kept) == (200, False)
    wait_until(lambda: old not in gateway.worker_pids())


def verdicts(gateway: Gateway) -> dict[str, tuple[str, str]]:
    """State and reason of each backend, as the workers know them."""
    with gateway.client() as client:
        backends = client.get("/health/detailed").json()["backends"]
    return {one["name"]: (one["state"], one["reason"]) for one in backends}


def test_a_stalled_backend_stays_out_over_a_reload(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(
        chat_fleet, GATEWAY_WORKERS=1, BACKEND_PROBE_INTERVAL_SECS=0.25, BACKEND_STALL_SECS=1.5, **LIMITLESS
    )
    chat0 = chat_fleet["chat0"]
    for name in BOTH:
        chat_fleet[name].set_pace(token_ms=20)
    body = {**BODY, "max_tokens": 5000, "ignore_eos": True, "stream": True}
    with ExitStack() as clients:
        for _ in BOTH:
            clients.enter_context(RawClient(gateway.port)).post(PATH, body).until(b'"content":"')
        chat0.stop_engine()
        wait_until(lambda: verdicts(gateway)["chat0"] == ("down", "stalled"))
        reload(gateway, 1)
        reload(gateway, 2)
        asked, probed = len(chat0.ledger()), len(chat0.ledger(probes=True))
        connection = clients.enter_context(closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)))

        def answered_for_long() -> bool:
            assert post(connection)[0] == 200
            assert verdicts(gateway)["chat0"] == ("down", "stalled")
            return len(chat0.ledger(probes=True)) > probed + 30

        wait_until(answered_for_long, START_SECS)
        assert len(chat0.ledger()) == asked
        told = [event["state"] for event in gateway.events("backend_changed") if event["backend"] == "chat0"]
        assert told == ["healthy", "down"]
        chat0.resume_engine()
        wait_until(lambda: post(connection)[0] == 200 and len(chat0.ledger()) > asked)
    wait_until(lambda: len(gateway.events("circuit_changed")) == 2)
    # The supervisor says one, a worker the other: which line comes first is nobody's promise.
    assert {event["reason"] for event in gateway.events("circuit_changed")} == {"restarted", "trial_succeeded"}


def test_new_settings_are_in_force_and_what_runs_goes_on(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, **LIMITLESS)
    for name in BOTH:
        chat_fleet[name].set_pace(token_ms=20)
    long = "x" * 5000
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    assert post(connection, messages=[{"role": "user", "content": long}])[0] == 200
    with RawClient(gateway.port) as running:
        running.post(PATH, {**BODY, "max_tokens": 150, "ignore_eos": True, "stream": True}).until(b"data: ")
        (gateway.folder / ".env").write_text("MAX_REQUEST_BODY_BYTES=4096\n")
        reload(gateway, 1)
        connection.close()
        assert post(connection, messages=[{"role": "user", "content": long}])[0] == 413
        (gateway.folder / ".env").write_text("MAX_REQUEST_BODY_BYTES=4096 or so\n")
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: gateway.events("not_reloaded"), START_SECS)
        connection.close()
        assert post(connection, messages=[{"role": "user", "content": long}])[0] == 413
        assert b"[DONE]" not in running.received
        running.until(b"[DONE]")


def queue_is(gateway: Gateway, length: int) -> bool:
    return gateway.metrics()["gateway_queued_requests"] == length


def test_the_limits_hold_over_old_and_new_workers_together(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(
        chat_fleet, GATEWAY_WORKERS=2, MAX_INFLIGHT_PER_IP=6, MAX_QUEUED_PER_IP=100, QUEUE_TIMEOUT_SECS=30, **LIMITLESS
    )
    for name in BOTH:
        chat_fleet[name].set_pace(ttft_ms=60_000)

    def running() -> int:
        return sum(int(chat_fleet[name].state()["running"]) for name in BOTH)

    first = [RawClient(gateway.port).post(PATH, BODY) for _ in range(6)]
    wait_until(lambda: running() == 6)
    reload(gateway, 1)
    second = [RawClient(gateway.port).post(PATH, BODY) for _ in range(6)]
    wait_until(partial(queue_is, gateway, 6))
    most = running()
    for left, client in enumerate(first, 1):
        client.socket.close()
        wait_until(partial(queue_is, gateway, 6 - left))
        wait_until(lambda: running() == 6)
        most = max(most, running())
    assert most == 6
    for client in second:
        client.socket.close()
    wait_until(gateway.idle)


def hundred(gateway: Gateway, fleet: Fleet, tokens: int) -> list[RawClient]:
    """A hundred streams that have begun."""
    for name in BOTH:
        fleet[name].set_pace(token_ms=20)
    body = {**BODY, "max_tokens": tokens, "ignore_eos": True, "stream": True}
    clients = [RawClient(gateway.port).post(PATH, body) for _ in range(100)]
    for client in clients:
        client.until(b"data: ")
    return clients


def refuses(gateway: Gateway) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", gateway.port)) == errno.ECONNREFUSED


@pytest.mark.parametrize("finish", [True, False], ids=["in time", "too late"])
def test_a_hundred_streams_after_sigterm_finish_or_are_told_why_not(
    chat_fleet: Fleet, make_gateway: MakeGateway, *, finish: bool
) -> None:
    gateway = make_gateway(
        chat_fleet, GATEWAY_WORKERS=2, MAX_INFLIGHT_PER_IP=200, DRAIN_SECS=120 if finish else 8, **LIMITLESS
    )
    with ExitStack() as sockets:
        clients = hundred(gateway, chat_fleet, tokens=400 if finish else 5000)
        for client in (*clients, ready := RawClient(gateway.port)):
            sockets.enter_context(client)

        def is_ready() -> bool:
            ready.received = b""
            ready.send(b"GET /ready HTTP/1.1\r\nhost: a\r\n\r\n").until(b"}")
            return ready.received.startswith(b"HTTP/1.1 200 ")

        wait_until(is_ready)
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: refuses(gateway))
        wait_until(lambda: not is_ready())  # the socket is shut by the supervisor, before its workers are told
        said = ready.rest().lower()
        assert said.startswith(b"http/1.1 503")
        assert b"connection: close" in said
        bodies = [client.rest() for client in clients]
        assert gateway.wait(60) == 0
    assert sum(b"data: [DONE]" in body for body in bodies) == (100 if finish else 0)
    assert sum(b'"code":"server_shutting_down"' in body for body in bodies) == (0 if finish else 100)
    wait_until(lambda: not any(int(chat_fleet[name].state()["running"]) for name in BOTH))
