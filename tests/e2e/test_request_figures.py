"""What became of requests and streams is what `/metrics` says of them: by endings, reasons and counts that add up."""

import signal
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, wait_until

SERVERS = ("chat0",)
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
STREAM = {**BODY, "stream": True}
ENDLESS = {**STREAM, "max_tokens": 5000, "ignore_eos": True}

REFUSALS: list[tuple[str, int, dict[str, object]]] = [
    ("rate", 429, {"MAX_RPS_PER_IP": 0.001, "RPS_BURST": 1}),
    ("day", 429, {"ORG_DAILY_REQUEST_LIMIT": 1}),
    ("month", 429, {"ORG_MONTHLY_REQUEST_LIMIT": 1}),
    ("queue_full", 429, {"MAX_INFLIGHT_PER_IP": 1, "MAX_QUEUED_PER_IP": 0}),
    ("queue_timeout", 429, {"MAX_INFLIGHT_PER_IP": 1, "QUEUE_TIMEOUT_SECS": 0.1}),
    ("backend_queue", 503, {"MAX_INFLIGHT_PER_BACKEND": 1, "MAX_QUEUED_PER_BACKEND": 0}),
    ("no_backend", 503, {"CHAT_BACKENDS": "http://127.0.0.1:1"}),
    ("bodies", 503, {"MAX_HELD_BODY_BYTES": 1024, "MAX_REQUEST_BODY_BYTES": 1024}),
]


def by(gateway: Gateway, family: str, label: str) -> dict[str, float]:
    """The values of a family that are not 0, by one of its labels."""
    found: dict[str, float] = {}
    for sample, value in gateway.metrics().items():
        name, _, labels = sample.partition("{")
        if name == f"gateway_{family}" and value:
            word = labels.partition(f'{label}="')[2].partition('"')[0]
            found[word] = found.get(word, 0.0) + value
    return found


@pytest.mark.parametrize(("reason", "status", "settings"), REFUSALS, ids=[reason for reason, *_ in REFUSALS])
def test_a_refusal_is_counted_once_by_what_it_is_about(
    fleet: Fleet, make_gateway: MakeGateway, reason: str, status: int, settings: dict[str, object]
) -> None:
    gateway = make_gateway(fleet, GATEWAY_WORKERS=1, **settings)
    body = {**BODY, "padding": "x" * 800}
    with RawClient(gateway.port) as running, gateway.client() as client:
        if reason != "no_backend":
            running.post(CHAT, {**ENDLESS, "padding": "x" * 800}).until(b'"content":"')
        assert client.post(CHAT, json=body).status_code == status
        wait_until(lambda: by(gateway, "refusals_total", "reason") == {reason: 1})


def test_too_many_wrong_keys_are_refused_as_such(fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(fleet, FAILED_AUTH_PER_SEC=0.001, FAILED_AUTH_BURST=1)
    with gateway.client() as client:
        client.headers["authorization"] = "Bearer sk-wrong"
        assert [client.post(CHAT, json=BODY).status_code for _ in range(3)] == [401, 429, 429]
    wait_until(lambda: by(gateway, "refusals_total", "reason") == {"failed_auth": 2})


def test_each_stream_has_one_ending(fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(fleet, GATEWAY_WORKERS=1, DRAIN_SECS=1)
    chat0 = fleet["chat0"]
    chat0.set_pace(token_ms=5)

    def endings() -> dict[str, float]:
        return by(gateway, "stream_endings_total", "ending")

    with gateway.client() as client:
        assert client.post(CHAT, json=STREAM).status_code == 200
        wait_until(lambda: sum(endings().values()) == 1)
        ended_by_itself = endings()
        assert client.post(CHAT, json=ENDLESS | {"max_tokens": 7}).status_code == 200
        chat0.set_fault("in_band_error", after=2)
        with RawClient(gateway.port) as told:
            told.post(CHAT, ENDLESS).until(b'"error"')
        chat0.clear()
        chat0.set_pace(token_ms=5)
    with RawClient(gateway.port) as leaves:
        leaves.post(CHAT, ENDLESS).until(b'"content":"')
    wait_until(lambda: "client_left" in endings())
    expected = {"length": 1.0, "backend_failed": 1.0, "client_left": 1.0}
    for word, count in ended_by_itself.items():
        expected[word] = expected.get(word, 0.0) + count
    assert endings() == expected


def test_every_piece_of_a_stream_but_the_first_is_a_gap_and_they_last_no_longer_than_it(
    fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(fleet, GATEWAY_WORKERS=1)
    fleet["chat0"].set_pace(token_ms=20)
    with gateway.client() as client:
        answer = client.post(CHAT, json=ENDLESS | {"max_tokens": 20})
    events = answer.text.count('"index":0')
    wait_until(lambda: by(gateway, "inter_token_seconds_count", "model"))
    figures = gateway.metrics()

    def of(family: str) -> float:
        return sum(value for name, value in figures.items() if name.startswith(f"gateway_{family}"))

    assert 0 < of("inter_token_seconds_count") < events  # two may have come at once
    assert of("inter_token_seconds_sum") < of("request_duration_seconds_sum") - of("time_to_first_token_seconds_sum")
    assert of("output_tokens_per_second_count") == 1
    assert of("overhead_seconds_count") == 1
    assert of("overhead_seconds_sum") < of("time_to_first_token_seconds_sum")


def test_an_organization_is_shown_while_it_has_requests(fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(fleet, GATEWAY_WORKERS=2, MAX_INFLIGHT_PER_IP=2, QUEUE_TIMEOUT_SECS=60)
    fleet["chat0"].set_pace(token_ms=5)
    us = "ip:127.0.0.1"
    with RawClient(gateway.port) as one, RawClient(gateway.port) as another, RawClient(gateway.port) as third:
        for client in (one, another):
            client.post(CHAT, ENDLESS).until(b'"content":"')
        third.post(CHAT, ENDLESS)
        wait_until(lambda: by(gateway, "organization_queued", "organization") == {us: 1})
        assert by(gateway, "organization_in_flight", "organization") == {us: 2}
        assert gateway.metrics()["gateway_slots_held"] == 2
        limits = by(gateway, "organization_limit", "limit")
        assert (limits["in_flight"], limits["queued"]) == (2, 240)
        wait_until(lambda: by(gateway, "organization_quota_used_ratio", "quota").keys() >= {"tokens_per_day"})
    wait_until(lambda: not by(gateway, "organization_in_flight", "organization"))
    assert gateway.metrics()["gateway_slots_held"] == 0


def test_what_organizations_had_is_shown_on_by_the_next_control_process(
    fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(fleet, GATEWAY_WORKERS=1)
    fleet["chat0"].set_pace(token_ms=5)
    us = {"ip:127.0.0.1": 1.0}
    with RawClient(gateway.port) as client:
        client.post(CHAT, ENDLESS).until(b'"content":"')
        wait_until(lambda: by(gateway, "organization_in_flight", "organization") == us)
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: gateway.events("reloaded") and len(gateway.events("control_on_duty")) == 2)
        wait_until(lambda: by(gateway, "organization_in_flight", "organization") == us)
