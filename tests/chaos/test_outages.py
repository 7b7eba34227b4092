"""Servers that die: all of them, and one of two while nearly all of both is needed."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import BACKEND_KEY, Gateway, wait_until
from tests.support.simulators import Simulator

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "ignore_eos": True}
BOTH = ("chat0", "chat1")
FREE = {"MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000, "BACKEND_PROBE_INTERVAL_SECS": 0.5, "BACKEND_UP_AFTER": 2}
AT_ONCE = 0.05
"""Seconds, for the quickest of twenty: a busy machine delays some of them, a wait for a backend delays all."""
SEATS, CLIENTS = 8, 13
"""What a server runs at a time, and 80 % of what two of them do."""
BACK_TO_NORMAL_SECS = 60


def test_when_every_replica_is_dead_it_is_said_at_once_and_over_as_soon_as_one_is_back(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, BACKEND_PROBE_TIMEOUT_SECS=0.5, **FREE)
    took = []
    with gateway.client() as client, ExitStack() as stack:
        wait_until(lambda: client.get("/ready").status_code == 200)
        stack.enter_context(stopped(chat_fleet))
        wait_until(lambda: client.get("/ready").status_code == 503)
        for _ in range(20):
            began = time.monotonic()
            answer = client.post(PATH, json={**BODY, "max_tokens": 1})
            took.append(time.monotonic() - began)
            assert answer.status_code == 503
            assert 1 <= float(answer.headers["retry-after"]) <= 60
        assert min(took) < AT_ONCE
        chat_fleet["chat1"].signal(signal.SIGCONT)
        wait_until(lambda: client.post(PATH, json={**BODY, "max_tokens": 1}).status_code == 200)
    assert chat_fleet["chat0"].ledger() == []


@contextmanager
def stopped(fleet: Fleet) -> Iterator[None]:
    """Servers that take connections, as the kernel does that for them, and never say a word."""
    for name in BOTH:
        fleet[name].signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for name in BOTH:
            fleet[name].signal(signal.SIGCONT)


@dataclass(slots=True)
class Crowd:
    """Clients that ask one request after another, and again when they are told to."""

    took: list[float] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    asked: int = 0


@contextmanager
def crowd(gateway: Gateway) -> Iterator[Crowd]:
    found, over = Crowd(), threading.Event()

    def ask() -> None:
        with gateway.client() as client:
            while not over.is_set():
                began = time.monotonic()
                found.asked += 1
                answer = client.post(PATH, json={**BODY, "max_tokens": 20})
                if answer.status_code == 200:
                    found.took.append(time.monotonic() - began)
                    continue
                found.failed.append(answer.status_code)
                if answer.headers.get("x-should-retry") != "false":
                    over.wait(float(answer.headers.get("retry-after", 0.5)))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def server(port: int = 0) -> Simulator:
    flags = ("--max-num-seqs", str(SEATS), "--max-model-len", "8192", "--api-key", BACKEND_KEY)
    started = Simulator("chat", *flags, port=port)
    started.set_pace(ttft_ms=20, token_ms=10)
    return started


def shared(*servers: Simulator) -> bool:
    """Whether each has a share of the load, and none so much that a request waits for a seat of its engine."""
    states = [server.state() for server in servers]
    return all(state["running"] >= CLIENTS // 3 and state["waiting"] == 0 for state in states)


@pytest.mark.timeout(240)
def test_one_of_two_dies_at_80_percent_load_and_nothing_collapses(make_gateway: MakeGateway) -> None:
    with server() as first, server() as second:
        gateway = make_gateway(Fleet({"chat0": first, "chat1": second}), GATEWAY_WORKERS=2, **FREE)
        wait_until(lambda: len(gateway.events("backend_changed")) >= 2)
        with crowd(gateway) as clients:
            wait_until(lambda: len(clients.took) >= 100)
            reached = len(second.ledger())
            second.signal(signal.SIGKILL)
            second.wait()
            before = len(clients.took)
            wait_until(lambda: len(clients.took) >= before + 100, what="the other one did not go on")
            assert len(clients.failed) <= CLIENTS  # what ran there, or was on its way: of each client one request
            assert set(clients.failed) <= {502}
            attempts = reached + len(first.ledger())
            assert attempts <= 1.1 * clients.asked
            with server(port=int(second.url.rpartition(":")[2])) as again:
                failed = len(clients.failed)
                wait_until(lambda: shared(first, again), BACK_TO_NORMAL_SECS, "it gets no share")
                since = len(clients.took)
                wait_until(lambda: len(clients.took) >= since + 100)
                assert len(clients.failed) == failed
