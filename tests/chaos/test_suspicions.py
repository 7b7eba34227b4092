"""The last one that might answer: neither a suspicion nor a circuit takes a group out, and operators see which."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, wait_until
from tests.support.simulators import Simulator

SERVERS = ("chat0", "text2sql")
"""A group of one, and the one that may stand in for it."""
PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "count"}], "ignore_eos": True}
QUICK: dict[str, object] = {
    "GATEWAY_WORKERS": 2,
    "BACKEND_PROBE_INTERVAL_SECS": 0.25,
    "BACKEND_STALL_SECS": 1.0,
    "BACKEND_UP_AFTER": 1,
    "MAX_RPS_PER_IP": 10_000,
    "RPS_BURST": 10_000,
}
QWEN, SQL = "qwen", "Snowflake/Arctic-Text2SQL-R1-7B"
FAILURES = 5
"""After so many in a row a circuit opens."""


def seen(gateway: Gateway, name: str) -> dict[str, Any]:
    """What /health/detailed says of one backend."""
    with gateway.client() as client:
        backends: list[dict[str, Any]] = client.get("/health/detailed").json()["backends"]
    return next(one for one in backends if one["name"] == name)


def is_suspected(gateway: Gateway, name: str) -> bool:
    now = seen(gateway, name)
    return (now["state"], now["reason"]) == ("down", "stalled")


@contextmanager
def hanging(gateway: Gateway, server: Simulator, name: str, model: str) -> Iterator[RawClient]:
    """Its engine stands still, its /health says 200; a stream that was there at the time waits. At last it goes on."""
    server.set_pace(token_ms=20)
    with RawClient(gateway.port) as client:
        client.post(PATH, {**BODY, "model": model, "max_tokens": 100, "stream": True}, headers="Connection: close\r\n")
        client.until(b'"content":"')
        server.stop_engine()
        try:
            wait_until(lambda: is_suspected(gateway, name))
            yield client
        finally:
            server.resume_engine()
        assert b"[DONE]" in client.rest()


def post(client: RawClient, model: str) -> RawClient:
    return client.post(PATH, {**BODY, "model": model, "max_tokens": 2}, headers="Connection: close\r\n")


def test_the_last_backend_is_asked_while_it_is_suspected_to_hang_and_its_circuit_is_open(
    fleet: Fleet, make_gateway: MakeGateway
) -> None:
    server = fleet["chat0"]
    gateway = make_gateway(Fleet({"chat0": server}), **QUICK)
    wait_until(gateway.ready)
    with hanging(gateway, server, "chat0", QWEN), gateway.client() as visitor, RawClient(gateway.port) as waiting:
        server.set_fault("status", path=PATH, status=500, form="engine_dead")
        asked = len(server.ledger())
        failed = [visitor.post(PATH, json={**BODY, "model": QWEN}).status_code for _ in range(2 * FAILURES)]
        assert failed == [500] * 2 * FAILURES
        assert len(server.ledger()) == asked + 2 * FAILURES
        assert seen(gateway, "chat0")["circuit"] == "open"
        server.set_faults()
        post(waiting, QWEN)
        wait_until(lambda: [row for row in server.ledger()[asked + 2 * FAILURES :] if row["ended"] == "running"])
        now = seen(gateway, "chat0")
        assert (now["state"], now["reason"], now["circuit"]) == ("down", "stalled", "open")
        assert "the engine hangs" in now["explanation"]
        assert visitor.get("/ready").status_code == 503
        server.resume_engine()
        assert b"HTTP/1.1 200" in waiting.rest()
    assert {line["status"] for line in gateway.access_lines() if line["path"] == PATH} == {200, 500}


def test_where_both_a_group_and_the_one_that_stands_in_for_it_are_suspected_an_answer_is_still_possible(
    fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(fleet, **QUICK, CHAT_FALLBACK="text2sql", TEXT2SQL_FALLBACK="chat")
    wait_until(gateway.well)
    own, other = fleet["chat0"], fleet["text2sql"]
    with hanging(gateway, own, "chat0", QWEN), gateway.client() as visitor:
        asked = len(own.ledger())
        stood_in = visitor.post(PATH, json={**BODY, "model": QWEN, "max_tokens": 2})
        assert (stood_in.status_code, stood_in.headers["x-gateway-fallback"]) == (200, "text2sql")
        with hanging(gateway, other, "text2sql", SQL), RawClient(gateway.port) as waiting:
            post(waiting, QWEN)
            wait_until(lambda: len(own.ledger()) == asked + 1)
            own.resume_engine()
            answer = waiting.rest()
            assert b"HTTP/1.1 200" in answer
            assert b"x-gateway-fallback" not in answer.lower()


def test_what_is_proven_is_believed_of_the_last_one_too(fleet: Fleet, make_gateway: MakeGateway) -> None:
    server = fleet["chat0"]
    gateway = make_gateway(Fleet({"chat0": server}), **QUICK)
    wait_until(gateway.well)
    server.set_fault("status", path="/health", status=503)
    wait_until(lambda: seen(gateway, "chat0")["reason"] == "unhealthy")
    with gateway.client() as visitor:
        answer = visitor.post(PATH, json={**BODY, "model": QWEN, "max_tokens": 2})
    assert answer.status_code == 503
    assert 1 <= float(answer.headers["retry-after"]) <= 60
    assert server.ledger() == []
