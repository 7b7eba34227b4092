"""An engine that stands still behind a healthy /health, and one that is merely slow: who is taken out, who never."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import BACKEND_KEY, Gateway, RawClient, in_threads, wait_until
from tests.support.simulators import Simulator

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
LONG = {**BODY, "max_tokens": 4000, "ignore_eos": True, "stream": True}
INTERVAL, STALL = 0.3, 1.0
PROBED = {"BACKEND_PROBE_INTERVAL_SECS": INTERVAL, "BACKEND_STALL_SECS": STALL, "BACKEND_UP_AFTER": 2}
FREE = {"MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000}
STATED = STALL + 2 * INTERVAL + 1.0
"""How late a standstill may be noticed: the limit, the probe before and the one after it, and the watchdog's second."""


def state(gateway: Gateway, backend: str) -> str:
    """The state that the gateway's figures tell of a backend."""
    begin = f'gateway_backend_state{{backend="{backend}",state="'
    (name,) = [name for name, value in gateway.metrics().items() if name.startswith(begin) and value] or [""]
    return name.removeprefix(begin).partition('"')[0]


def ask(client: httpx.Client, count: int) -> list[int]:
    return [client.post(PATH, json=BODY).status_code for _ in range(count)]


@contextmanager
def streams(gateway: Gateway, count: int) -> Iterator[list[RawClient]]:
    """Streams that have begun and last."""
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(gateway.port)).post(PATH, LONG) for _ in range(count)]
        for client in clients:
            client.until(b'"content":"')
        yield clients


def test_a_stopped_engine_is_left_in_the_stated_time_and_taken_back_when_it_moves(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, **PROBED, **FREE)
    stopped, other = chat_fleet["chat0"], chat_fleet["chat1"]
    for server in (stopped, other):
        server.set_pace(token_ms=10)
    with streams(gateway, 2), gateway.client() as client:
        stopped.until_state(running=1)
        stopped.stop_engine()
        assert httpx.get(f"{stopped.url}/health", trust_env=False).status_code == 200
        wait_until(lambda: state(gateway, "chat0") == "down", STATED, "the standstill was not noticed in time")
        before = len(stopped.ledger())
        assert ask(client, 6) == [200] * 6
        assert len(stopped.ledger()) == before
        assert len(other.ledger()) >= 6
        stopped.resume_engine()
        wait_until(lambda: state(gateway, "chat0") in {"healthy", "busy"}, 5)
        assert ask(client, 6) == [200] * 6
        assert len(stopped.ledger()) > before


@pytest.mark.timeout(90)
def test_a_saturated_engine_is_never_taken_out(make_gateway: MakeGateway) -> None:
    with Simulator("chat", "--max-num-seqs", "2", "--max-model-len", "8192", "--api-key", BACKEND_KEY) as chat:
        fleet = Fleet({"chat0": chat})
        gateway = make_gateway(fleet, GATEWAY_WORKERS=2, **PROBED, **FREE, QUEUE_TIMEOUT_SECS=60)
        chat.set_pace(ttft_ms=400, token_ms=400)
        states: set[str] = set()
        statuses: list[int] = []

        def wait_long(_: int) -> None:
            with gateway.client() as client:
                statuses.append(client.post(PATH, json={**BODY, "max_tokens": 4, "ignore_eos": True}).status_code)

        with in_threads(10, wait_long) as failures:
            over = time.monotonic() + 6 * STALL
            while time.monotonic() < over:
                states.add(state(gateway, "chat0"))
        assert failures == []
        assert statuses == [200] * 10
        assert states - {"", "healthy"} == {"busy"}  # none: between two states, as they are written one by one
