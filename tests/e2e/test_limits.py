"""Limits are exact over all workers: the bucket, the slots, the queue, and the turns of the replicas."""

from collections import Counter
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import KEY, Gateway, RawClient, in_threads, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
BOTH = ("chat0", "chat1")


def test_four_workers_grant_one_bucket(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=4, MAX_RPS_PER_IP=0.01, RPS_BURST=40)
    statuses: list[int] = []

    def ask(_: int) -> None:
        with gateway.client() as client:
            statuses.extend(client.post(PATH, json=BODY).status_code for _ in range(10))

    with in_threads(8, ask) as failures:
        pass
    assert failures == []
    assert Counter(statuses) == {200: 40, 429: 40}


def test_a_refusal_says_what_the_limit_is_and_when_to_return(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, MAX_RPS_PER_IP=0.1, RPS_BURST=1, RPS_WINDOW_SECS=1)
    with gateway.client() as client:
        first, second = client.post(PATH, json=BODY), client.post(PATH, json=BODY)
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 8 <= int(second.headers["retry-after"]) <= 10
    assert 8000 <= int(second.headers["retry-after-ms"]) <= 10_000
    assert second.headers["x-ratelimit-reset-requests"].endswith("s")


def hold_slots(gateway: Gateway, fleet: Fleet, count: int) -> list[RawClient]:
    """Requests that run until they are left."""
    for name in BOTH:
        fleet[name].set_pace(ttft_ms=60_000)
    holders = [RawClient(gateway.port).post(PATH, BODY) for _ in range(count)]
    wait_until(lambda: fleet.requests() == count)
    return holders


def test_beyond_the_slots_requests_queue_and_the_queue_is_bounded(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(
        chat_fleet, GATEWAY_WORKERS=4, MAX_INFLIGHT_PER_IP=5, MAX_QUEUED_PER_IP=3, QUEUE_TIMEOUT_SECS=60
    )
    holders = hold_slots(gateway, chat_fleet, 5)
    waiting = [RawClient(gateway.port).post(PATH, BODY) for _ in range(3)]
    wait_until(lambda: gateway.metrics().get("gateway_queued_requests") == 3)
    with gateway.client() as client:
        full = client.post(PATH, json=BODY)
    assert (full.status_code, full.json()["error"]["code"]) == (429, "queue_full")
    assert chat_fleet.requests() == 5
    holders.pop().socket.close()
    wait_until(lambda: chat_fleet.requests() == 6)
    for left in holders + waiting:
        left.socket.close()
    wait_until(gateway.idle)


def test_two_seconds_in_the_queue_end_with_429(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, MAX_INFLIGHT_PER_IP=1)
    (holder,) = hold_slots(gateway, chat_fleet, 1)
    with gateway.client() as client:
        answer = client.post(PATH, json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_timeout")
    line = gateway.access_line(answer.headers["x-request-id"])
    assert 1990 <= line["duration_ms"] <= 3000
    assert int(answer.headers["retry-after"]) >= 1
    holder.socket.close()
    wait_until(gateway.idle)


def test_the_queue_is_first_come_first_served_over_all_workers(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=4, MAX_INFLIGHT_PER_IP=1, QUEUE_TIMEOUT_SECS=60)
    (holder,) = hold_slots(gateway, chat_fleet, 1)
    waiting = []
    for number in range(12):
        body = {**BODY, "messages": [{"role": "user", "content": f"number {number}"}]}
        waiting.append(RawClient(gateway.port).post(PATH, body))
        wait_until(lambda: gateway.metrics().get("gateway_queued_requests") == len(waiting))
    for name in BOTH:
        chat_fleet[name].set_pace(ttft_ms=0)
    holder.socket.close()
    for client in waiting:
        client.until(b"\r\n\r\n")
        client.socket.close()
    rows = sorted((row for name in BOTH for row in chat_fleet[name].ledger()), key=lambda row: row["started"])
    order = [row["body"].partition("number ")[2].partition('"')[0] for row in rows[1:]]
    assert order == [str(number) for number in range(12)]


def test_organizations_do_not_share_a_bucket_or_slots(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, MAX_RPS_PER_IP=0.01, RPS_BURST=1, RPS_WINDOW_SECS=1)
    statuses: dict[str, list[int]] = {}
    with gateway.client() as client:
        for address in ("198.51.100.1", "198.51.100.2", "2001:db8:0:1::1", "2001:db8:0:1::2", "198.51.100.1"):
            answer = client.post(PATH, json=BODY, headers={"x-forwarded-for": address})
            statuses.setdefault(address, []).append(answer.status_code)
    assert statuses == {
        "198.51.100.1": [200, 429],
        "198.51.100.2": [200],
        "2001:db8:0:1::1": [200],
        "2001:db8:0:1::2": [429],
    }


def test_a_forwarded_header_of_an_untrusted_peer_changes_nothing(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, MAX_RPS_PER_IP=0.01, RPS_BURST=1, TRUSTED_PROXIES="10.9.9.0/24")
    with gateway.client() as client:
        answers = [client.post(PATH, json=BODY, headers={"x-forwarded-for": f"198.51.100.{n}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]


def test_the_replicas_take_turns_over_all_workers_together(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=4, MAX_RPS_PER_IP=100_000, RPS_BURST=100_000)
    wait_until(gateway.well)

    def ask(_: int) -> None:
        with gateway.client() as client:
            for _ in range(50):
                assert client.post(PATH, json=BODY).status_code == 200

    with in_threads(8, ask) as failures:
        pass
    counts = [len(chat_fleet[name].ledger()) for name in BOTH]
    assert failures == []
    assert counts == [200, 200]


def test_wrong_keys_are_401_until_the_address_has_tried_too_many(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, FAILED_AUTH_PER_SEC=0.01, FAILED_AUTH_BURST=5)
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        wrong = [client.get("/v1/models", headers={"authorization": f"Bearer wrong{n}"}) for n in range(8)]
        right = client.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
        other = client.get("/v1/models", headers={"authorization": "Bearer wrong", "x-forwarded-for": "198.51.100.9"})
    assert [answer.status_code for answer in wrong] == [401] * 5 + [429] * 3
    assert (right.status_code, other.status_code) == (200, 401)


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_need_no_key_and_take_no_token(chat_fleet: Fleet, make_gateway: MakeGateway, path: str) -> None:
    gateway = make_gateway(chat_fleet, MAX_RPS_PER_IP=0.01, RPS_BURST=1, RPS_WINDOW_SECS=1)
    wait_until(gateway.ready)
    answers = [httpx.get(f"{gateway.url}{path}", trust_env=False) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert "x-ratelimit-limit-requests" not in answers[0].headers
