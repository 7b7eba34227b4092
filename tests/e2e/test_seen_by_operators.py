"""What goes wrong between a gateway and its backends is seen from outside: in `/health/detailed`, `/ready`, figures."""

from contextlib import ExitStack
from typing import Any

from tests.e2e.conftest import Fleet, MakeGateway, start_fleet
from tests.support.gateway import Gateway, in_threads, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}], "max_tokens": 5}
DEAD_ENGINE = {"status": 500, "form": "engine_dead"}
OPEN = 'gateway_backend_circuit{backend="chat0",standing="open"}'
CHANGES = 'gateway_circuit_changes_total{backend="chat0",to="open"}'


def ask(gateway: Gateway, count: int) -> set[int]:
    with gateway.client() as client:
        return {client.post(PATH, json=BODY).status_code for _ in range(count)}


def test_an_open_circuit_is_seen_though_its_backend_is_healthy(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, CIRCUIT_FAILURE_THRESHOLD=2)
    wait_until(gateway.ready)
    before = gateway.report()
    assert (before["status"], before["reason"]) == ("ok", "ok")
    wait_until(lambda: gateway.metrics().get(OPEN) == 0)
    assert gateway.metrics()[CHANGES] == 0
    chat_fleet["chat0"].set_fault("status", path=PATH, **DEAD_ENGINE)
    ask(gateway, 8)
    report = gateway.report()
    assert (report["status"], report["reason"]) == ("degraded", "circuit_open")
    chat0, chat1 = (next(one for one in report["backends"] if one["name"] == name) for name in ("chat0", "chat1"))
    assert (chat0["state"], chat0["circuit"], chat0["why"]) == ("healthy", "open", "failures")
    assert 0 < chat0["retry_in_secs"] <= 30
    assert "circuit is open" in chat0["explanation"]
    assert (chat1["circuit"], chat1["why"]) == ("closed", None)
    wait_until(lambda: gateway.metrics()[OPEN] == 1)
    assert gateway.metrics()[CHANGES] == 1


def test_who_waits_for_a_seat_and_who_has_one_is_seen(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, MAX_INFLIGHT_PER_BACKEND=1, QUEUE_TIMEOUT_SECS=30)
    wait_until(gateway.well)
    waiting, there = 'gateway_seats_waiting{group="chat"}', 'gateway_backend_in_flight{backend="chat0"}'
    wait_until(lambda: gateway.metrics().get(waiting) == 0)
    for name in ("chat0", "chat1"):
        chat_fleet[name].set_fault("slow", seconds=1.0)  # five tokens in five seconds

    def visit(_: int) -> None:
        assert ask(gateway, 1) == {200}

    with in_threads(5, visit) as failures:
        wait_until(lambda: gateway.metrics()[waiting] == 3)
        wait_until(lambda: gateway.metrics().get(there) == 1)
        chat_fleet.clear()
    assert failures == []
    wait_until(lambda: gateway.metrics()[waiting] == gateway.metrics()[there] == 0)


def test_a_gateway_whose_fallback_answers_is_ready(make_gateway: MakeGateway) -> None:
    with ExitStack() as stack:
        fleet = start_fleet(stack, "chat0", "text2sql")
        gateway = make_gateway(fleet, CHAT_FALLBACK="text2sql")
        wait_until(gateway.ready)
        fleet["chat0"].set_fault("refuse")
        assert ask(gateway, 1) == {200}
        wait_until(lambda: "down" in gateway.states())
        with gateway.client() as client:
            answer = client.get("/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready", "reason": "fallback"})
        report = gateway.report()
        assert (report["status"], report["reason"]) == ("degraded", "unreachable")
        fleet["text2sql"].set_fault("refuse")
        ask(gateway, 1)
        with gateway.client() as client:
            wait_until(lambda: client.get("/ready").status_code == 503)
