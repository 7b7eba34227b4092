"""A thousand refusals of requests themselves say nothing of the backend: it stays in rotation."""

from collections import Counter
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import in_threads

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
BOTH = ("chat0", "chat1")
THREADS = 4
EACH = 84


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_thousand_4xx_open_no_circuit(chat_fleet: Fleet, make_gateway: MakeGateway, status: int) -> None:
    gateway = make_gateway(
        chat_fleet, GATEWAY_WORKERS=2, MAX_RPS_PER_IP=100_000, RPS_BURST=100_000, CIRCUIT_FAILURE_THRESHOLD=2
    )
    for name in BOTH:
        chat_fleet[name].set_fault("status", status=status)
    found: list[int] = []

    def ask(_: int) -> None:
        with gateway.client() as client:
            found.extend(client.post(PATH, json=BODY).status_code for _ in range(EACH))

    with in_threads(THREADS, ask) as failures:
        pass
    assert failures == []
    assert Counter(found) == {status: THREADS * EACH}
    for name in BOTH:
        rows = chat_fleet[name].ledger()
        assert len(rows) == THREADS * EACH // 2  # their turns, to the last
        assert {row["status"] for row in rows} == {status}
    for name in BOTH:
        chat_fleet[name].clear()
    with gateway.client() as client:
        assert [client.post(PATH, json=BODY).status_code for _ in range(4)] == [200] * 4
    assert [len(chat_fleet[name].ledger()) for name in BOTH] == [2, 2]
