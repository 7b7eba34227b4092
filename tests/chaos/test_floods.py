"""One organization floods: does another notice? Its time to the first token, alone and beside the flood."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import KEY, Gateway, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
BOTH = ("chat0", "chat1")
FIRST_TOKEN_SECS = 0.6
"""What the engine takes; half of it is what the flood may add, whose clients use the machine as the gateway does."""
MOST = 1.5
FLOODERS = 4
LIMIT = 5


def visitor(gateway: Gateway, address: str) -> httpx.Client:
    """A client that comes from this address of the loopback network: an organization of its own."""
    transport = httpx.HTTPTransport(local_address=address)
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.Client(base_url=gateway.url, headers=headers, transport=transport, timeout=30)


def first_token_secs(client: httpx.Client) -> float:
    began = time.monotonic()
    with client.stream("POST", PATH, json={**BODY, "stream": True}) as answer:
        assert answer.status_code == 200
        came, took = b"", 0.0
        for piece in answer.iter_raw():
            came += piece
            if not took and b'"content":"' in came:
                took = time.monotonic() - began
    assert b"[DONE]" in came
    return took


@contextmanager
def flood(gateway: Gateway, statuses: list[int]) -> Iterator[None]:
    """Clients of one address that ask as fast as they are answered, far beyond what they may."""
    over = threading.Event()

    def ask() -> None:
        with visitor(gateway, "127.0.0.66") as client:
            while not over.is_set():
                statuses.append(client.post(PATH, json=BODY).status_code)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(FLOODERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def test_a_flood_of_one_organization_does_not_delay_another(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, GATEWAY_WORKERS=2, MAX_RPS_PER_IP=LIMIT, RPS_BURST=2 * LIMIT)
    for name in BOTH:
        chat_fleet[name].set_pace(ttft_ms=1000 * FIRST_TOKEN_SECS)
    statuses: list[int] = []
    with visitor(gateway, "127.0.0.11") as client:
        alone = [first_token_secs(client) for _ in range(LIMIT)]
        with flood(gateway, statuses):
            wait_until(lambda: statuses.count(429) > 50)
            beside = [first_token_secs(client) for _ in range(LIMIT)]
    assert set(statuses) == {200, 429}
    assert statistics.median(beside) <= MOST * statistics.median(alone)
