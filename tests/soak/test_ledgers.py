"""Are the engines' ledgers read to the last request, each once?"""

from collections.abc import Iterator

import httpx
import pytest

from tests.soak.ledgers import Ledgers
from tests.support.simulators import Simulator

BODY = {"model": "qwen", "prompt": "hi", "max_tokens": 1}


@pytest.fixture
def chat() -> Iterator[Simulator]:
    with Simulator("chat") as server:
        yield server


def run(server: Simulator, request_id: str, **content: object) -> None:
    headers = {**server.headers, "x-request-id": request_id}
    httpx.post(f"{server.url}/v1/completions", json={**BODY, **content}, headers=headers, trust_env=False, timeout=30)
    server.settled()


def test_who_ran_twice_is_told_however_far_apart_and_refusals_are_not_runs(chat: Simulator) -> None:
    ledgers = Ledgers({"chat": chat})
    run(chat, "w1-1")
    ledgers.read()
    run(chat, "w1-2", max_tokens=-1)
    run(chat, "w1-2")
    ledgers.read()
    ledgers.read()
    assert ledgers.twice() == []
    run(chat, "w1-1")
    ledgers.read()
    assert ledgers.twice() == ["w1-1"]


def test_requests_that_were_forgotten_before_they_were_read_are_told(chat: Simulator) -> None:
    ledgers = Ledgers({"chat": chat})
    run(chat, "w1-1")
    chat.clear()
    run(chat, "w1-2")
    with pytest.raises(AssertionError, match="forgot 1 request"):
        ledgers.read()
