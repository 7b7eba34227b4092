"""What the gateway knows of its backends, and how soon: engines that hang, saturate, die and return, for real."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import BACKEND_KEY, Gateway, RawClient, wait_until
from tests.support.simulators import Simulator

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {
    "model": "qwen",
    "messages": [{"role": "user", "content": "count"}],
    "max_tokens": 200,
    "ignore_eos": True,
}
SHORT = {**BODY, "max_tokens": 2}
STREAMED = {**BODY, "stream": True}
INTERVAL, STALL = 0.25, 1.5
QUICK: dict[str, object] = {
    "BACKEND_PROBE_INTERVAL_SECS": INTERVAL,
    "BACKEND_PROBE_TIMEOUT_SECS": 3.0,
    "BACKEND_STALL_SECS": STALL,
    "MAX_RPS_PER_IP": 10_000,
    "RPS_BURST": 10_000,
}
STATED = STALL + INTERVAL + 1.0
"""Within this time an engine that hangs has left rotation; the last second is a busy machine's."""
HANGING = [{"name": "hang", "path": path} for path in ("/health", "/v1/models", "/metrics")]
PATIENCE = 30.0


def report(gateway: Gateway, name: str = "chat0") -> dict[str, Any]:
    """What /health/detailed says of one backend."""
    with gateway.client() as client:
        backends: list[dict[str, Any]] = client.get("/health/detailed").json()["backends"]
    return next(one for one in backends if one["name"] == name)


def is_now(gateway: Gateway, state: str, reason: str, name: str = "chat0") -> bool:
    now = report(gateway, name)
    return (now["state"], now["reason"]) == (state, reason)


def alive(gateway: Gateway) -> bool:
    try:
        return httpx.get(f"{gateway.url}/health", trust_env=False, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def probes(server: Simulator) -> int:
    """How many times its figures were asked for."""
    return len([row for row in server.ledger(probes=True) if row["path"] == "/metrics"])


def until_stalled(gateway: Gateway, server: Simulator, seconds: float) -> None:
    """Wait until it is known to stand still, for no more probes than go into so many seconds."""
    before = probes(server)
    wait_until(lambda: is_now(gateway, "down", "stalled"), PATIENCE)
    assert probes(server) - before <= seconds / INTERVAL


def served(gateway: Gateway, fleet: Fleet, requests: int) -> dict[str, int]:
    """How many of so many requests each backend got; all of them are answered."""
    before = {name: len(server.ledger()) for name, server in fleet.servers.items()}
    with gateway.client() as client:
        assert [client.post(PATH, json=SHORT).status_code for _ in range(requests)] == [200] * requests
    return {name: len(server.ledger()) - before[name] for name, server in fleet.servers.items()}


@contextmanager
def streams(gateway: Gateway, count: int) -> Iterator[list[RawClient]]:
    """So many streams, each with its first token."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(RawClient(gateway.port)).post(PATH, STREAMED, headers="Connection: close\r\n")
            for _ in range(count)
        ]
        for client in clients:
            client.until(b'"content":"')
        yield clients


def set_pace(fleet: Fleet, **milliseconds: float) -> None:
    for server in fleet.servers.values():
        server.set_pace(**milliseconds)


def test_an_engine_that_hangs_leaves_rotation_in_the_stated_time_and_is_back_when_it_goes_on(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, **QUICK)
    set_pace(chat_fleet, token_ms=20)
    with streams(gateway, 4) as clients:
        chat_fleet["chat0"].stop_engine()
        assert httpx.get(f"{chat_fleet['chat0'].url}/health", trust_env=False).status_code == 200
        until_stalled(gateway, chat_fleet["chat0"], STATED + 1.0)
        assert served(gateway, chat_fleet, 6) == {"chat0": 0, "chat1": 6}
        chat_fleet["chat0"].resume_engine()
        wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)
        assert all(b"[DONE]" in client.rest() for client in clients)
    set_pace(chat_fleet, token_ms=0)
    wait_until(lambda: served(gateway, chat_fleet, 2)["chat0"], PATIENCE)


def test_an_engine_that_hung_while_it_was_idle_is_found_by_the_first_request_that_waits_for_it(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, **QUICK)
    wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)
    chat_fleet["chat0"].stop_engine()
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(RawClient(gateway.port)).post(PATH, STREAMED)
        until_stalled(gateway, chat_fleet["chat0"], STATED + 2.0)
        assert report(gateway)["running"] == 0
        assert served(gateway, chat_fleet, 6) == {"chat0": 0, "chat1": 6}
        chat_fleet["chat0"].resume_engine()
        wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)


def test_a_saturated_engine_that_makes_progress_is_never_ejected(make_gateway: MakeGateway) -> None:
    flags = ("--max-num-seqs", "1", "--api-key", BACKEND_KEY, "--max-model-len", "8192")
    with Simulator("chat", *flags) as server:
        server.set_pace(token_ms=100)
        fleet = Fleet({"chat0": server})
        gateway = make_gateway(fleet, **QUICK)
        with ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(RawClient(gateway.port)).post(PATH, {**STREAMED, "max_tokens": 40})
            wait_until(lambda: is_now(gateway, "busy", "queueing"), PATIENCE)
            rounds = probes(server)
            wait_until(lambda: probes(server) > rounds + 2 * STALL / INTERVAL, 3 * PATIENCE)
            assert report(gateway)["state"] == "busy"
        assert {event["state"] for event in gateway.events("backend_changed")} <= {"loading", "healthy", "busy"}


def test_probes_that_time_out_while_tokens_flow_leave_a_backend_in_rotation(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, **{**QUICK, "BACKEND_PROBE_TIMEOUT_SECS": 0.5})
    set_pace(chat_fleet, token_ms=50)
    with streams(gateway, 4):
        wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)
        chat_fleet["chat0"].set_faults(*HANGING)
        wait_until(lambda: is_now(gateway, "busy", "timeout"), PATIENCE)
        asked = len(chat_fleet["chat0"].ledger(probes=True))
        wait_until(lambda: len(chat_fleet["chat0"].ledger(probes=True)) >= asked + 8, PATIENCE)
        assert is_now(gateway, "busy", "timeout")
    wait_until(lambda: is_now(gateway, "down", "timeout"), PATIENCE)


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "status", "status": 404},
        {"name": "hang"},
        {"name": "text", "text": "# nothing\n", "repeat": 600_000},
        {"name": "text", "text": "vllm:num_requests_running NaN\n"},
        {"name": "html_200"},
        {"name": "endless"},
    ],
    ids=["missing", "silent", "huge", "garbage", "html", "endless"],
)
def test_senseless_metrics_never_stop_dispatch(
    chat_fleet: Fleet, make_gateway: MakeGateway, fault: dict[str, Any]
) -> None:
    for server in chat_fleet.servers.values():
        server.set_faults({**fault, "path": "/metrics"})
    gateway = make_gateway(chat_fleet, **QUICK)
    wait_until(lambda: len(gateway.events("backend_changed")) >= 2, PATIENCE)
    set_pace(chat_fleet, ttft_ms=2000 * STALL)
    with gateway.client() as client:
        assert client.post(PATH, json=SHORT).status_code == 200
    assert {event["state"] for event in gateway.events("backend_changed")} == {"healthy"}
    assert report(gateway)["running"] is None


def test_old_figures_stop_no_dispatch_to_a_backend_that_answers(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    set_pace(chat_fleet, token_ms=20)
    gateway = make_gateway(chat_fleet, **QUICK)
    with streams(gateway, 4):
        pages = {name: server.metrics_text() for name, server in chat_fleet.servers.items()}
    for name, server in chat_fleet.servers.items():
        assert "vllm:num_requests_running" in pages[name]
        server.set_faults({"name": "text", "text": pages[name], "path": "/metrics"})
    set_pace(chat_fleet, token_ms=0)
    with gateway.client() as client:
        began = len(chat_fleet["chat0"].ledger(probes=True))

        def probed_for_long() -> bool:
            assert client.post(PATH, json=SHORT).status_code == 200
            return len(chat_fleet["chat0"].ledger(probes=True)) > began + 3 * 4 * STALL / INTERVAL

        wait_until(probed_for_long, PATIENCE)
    assert "down" not in {event["state"] for event in gateway.events("backend_changed")}


def test_a_process_that_stands_still_leaves_rotation_and_is_back_when_it_goes_on(make_gateway: MakeGateway) -> None:
    flags = ("--api-key", BACKEND_KEY, "--max-model-len", "8192")
    with Simulator("chat", *flags) as first, Simulator("chat", *flags) as second:
        gateway = make_gateway(Fleet({"chat0": first, "chat1": second}), **{**QUICK, "BACKEND_PROBE_TIMEOUT_SECS": 1.0})
        wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)
        first.signal(signal.SIGSTOP)
        wait_until(lambda: is_now(gateway, "down", "timeout"), PATIENCE)
        with gateway.client() as client:
            assert [client.post(PATH, json=SHORT).status_code for _ in range(4)] == [200] * 4
        first.signal(signal.SIGCONT)
        wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)


def test_a_backend_that_a_request_finds_dead_is_known_to_be_by_all_within_a_second(make_gateway: MakeGateway) -> None:
    flags = ("--api-key", BACKEND_KEY, "--max-model-len", "8192")
    with Simulator("chat", *flags) as first, Simulator("chat", *flags) as second:
        fleet = Fleet({"chat0": first, "chat1": second})
        gateway = make_gateway(fleet, **{**QUICK, "BACKEND_PROBE_INTERVAL_SECS": 600, "GATEWAY_WORKERS": 2})
        wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)
        url = first.url
        first.stop()
        with gateway.client() as client:
            assert [client.post(PATH, json=SHORT).status_code for _ in range(2)] == [200] * 2
            wait_until(lambda: is_now(gateway, "down", "unreachable"), PATIENCE)  # of its own accord: in ten minutes
        with Simulator("chat", *flags, port=int(url.rpartition(":")[2])) as again:
            wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)
            with gateway.client() as client:
                wait_until(lambda: client.post(PATH, json=SHORT).status_code == 200 and again.ledger(), PATIENCE)


def test_a_server_that_drains_is_left_at_once_and_shown_to_drain(make_gateway: MakeGateway) -> None:
    flags = ("--api-key", BACKEND_KEY, "--max-model-len", "8192")
    with Simulator("chat", *flags, "--shutdown-timeout", "60") as first, Simulator("chat", *flags) as second:
        gateway = make_gateway(Fleet({"chat0": first, "chat1": second}), **QUICK)
        wait_until(lambda: report(gateway)["state"] == "healthy", PATIENCE)
        first.set_pace(token_ms=20)
        second.set_pace(token_ms=20)
        with streams(gateway, 2) as clients:
            first.signal(signal.SIGTERM)
            wait_until(lambda: first.state()["draining"])
            with gateway.client() as client:
                assert [client.post(PATH, json=SHORT).status_code for _ in range(4)] == [200] * 4
            wait_until(lambda: is_now(gateway, "draining", "draining"), PATIENCE)
            assert b"[DONE]" in clients[0].rest()
            assert b"[DONE]" in clients[1].rest()
        wait_until(lambda: is_now(gateway, "down", "unreachable"), PATIENCE)


def test_the_death_of_a_worker_changes_nothing_about_the_probing(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, **QUICK)
    set_pace(chat_fleet, token_ms=50)
    wait_until(lambda: gateway.events("listening"), PATIENCE)
    with streams(gateway, 4):
        wait_until(lambda: report(gateway, "chat0")["in_flight"] == 2, PATIENCE)
        for pid in gateway.worker_pids():
            os.kill(pid, signal.SIGKILL)
        probes = len(chat_fleet["chat0"].ledger(probes=True))
        wait_until(lambda: len(chat_fleet["chat0"].ledger(probes=True)) > probes + 9, PATIENCE)
    wait_until(lambda: alive(gateway), PATIENCE)
    assert [report(gateway, name)["in_flight"] for name in ("chat0", "chat1")] == [0, 0]
    assert {event["state"] for event in gateway.events("backend_changed")} == {"healthy"}
