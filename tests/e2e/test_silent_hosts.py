"""A host that swallows packets costs the connect time-out and no more; the other replica answers."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Where a connection is neither taken nor refused: the kernel drops what finds no room in a listener's queue."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)  # noqa: FBT003 -- the socket module's own
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_backend_whose_host_swallows_packets_is_left_for_the_other_replica(
    chat_fleet: Fleet, make_gateway: MakeGateway, silent_url: str
) -> None:
    backends = f"{silent_url},{chat_fleet['chat0'].url}"
    gateway = make_gateway(chat_fleet, CHAT_BACKENDS=backends, UPSTREAM_CONNECT_TIMEOUT_SECS=0.3)
    with gateway.client() as client:
        answers = [client.post(PATH, json=BODY) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    lines = [gateway.access_line(answer.headers["x-request-id"]) for answer in answers]
    assert [line["backend"] for line in lines] == ["chat1"] * 4
    assert len(chat_fleet["chat0"].ledger()) == 4


def test_where_every_host_swallows_packets_the_fleet_is_unavailable(
    chat_fleet: Fleet, make_gateway: MakeGateway, silent_url: str
) -> None:
    gateway = make_gateway(chat_fleet, CHAT_BACKENDS=silent_url, UPSTREAM_CONNECT_TIMEOUT_SECS=0.3)
    with gateway.client() as client:
        answer = client.post(PATH, json=BODY)
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert int(answer.headers["retry-after"]) > 0
    wait_until(gateway.idle)
