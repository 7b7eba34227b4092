"""The time of day of a whole gateway is set forwards and back while it works: what may run does not change."""

import struct
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "ignore_eos": True}
BOTH = ("chat0", "chat1")
INSIDE = Path(__file__).parent / "inside"
HOUR = 3600.0
SLOTS, BURST = 2, 12
PATIENCE = 2.0
"""Seconds: QUEUE_TIMEOUT_SECS."""


@pytest.fixture
def clock(tmp_path: Path) -> Callable[[float], None]:
    """Sets the time of day so many seconds off."""
    file = tmp_path / "wall-clock"

    def turn(offset: float) -> None:
        with file.open("r+b" if file.exists() else "wb") as opened:
            opened.write(struct.pack("=d", offset))

    turn(0.0)
    return turn


def written_at(gateway: Gateway, request_id: str) -> float:
    """The time of day at which the gateway thinks that a request ended."""
    return datetime.fromisoformat(gateway.access_line(request_id)["timestamp"]).timestamp()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("jump", [HOUR, -HOUR, 26 * HOUR], ids=["an hour on", "an hour back", "into the next day"])
def test_a_jump_of_the_time_of_day_cuts_and_grants_nothing(
    chat_fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path, clock: Callable[[float], None], jump: float
) -> None:
    gateway = make_gateway(
        chat_fleet,
        GATEWAY_WORKERS=2,
        MAX_RPS_PER_IP=0.001,
        RPS_BURST=BURST,
        RPS_WINDOW_SECS=1,
        MAX_INFLIGHT_PER_IP=SLOTS,
        QUEUE_TIMEOUT_SECS=PATIENCE,
        BACKEND_PROBE_INTERVAL_SECS=0.25,
        PYTHONPATH=INSIDE,
        WALL_CLOCK=tmp_path / "wall-clock",
    )
    wait_until(lambda: len(gateway.events("backend_changed")) >= len(BOTH))  # to ask for it would cost a token
    for name in BOTH:
        chat_fleet[name].set_pace(token_ms=20)
    with ExitStack() as stack, gateway.client() as client:
        began = written_at(gateway, client.get("/v1/models").headers["x-request-id"])  # the first of the bucket
        streams = [stack.enter_context(RawClient(gateway.port)) for _ in range(SLOTS)]
        for stream in streams:
            stream.post(PATH, {**BODY, "max_tokens": 300, "stream": True}, headers="Connection: close\r\n")
            stream.until(b'"content":"')
        waiting = stack.enter_context(RawClient(gateway.port)).post(PATH, BODY, headers="Connection: close\r\n")
        wait_until(lambda: gateway.metrics().get("gateway_queued_requests") == 1)
        clock(jump)
        said = waiting.rest()
        assert b'"code":"queue_timeout"' in said
        line = gateway.access_line(said.lower().partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode())
        assert line["duration_ms"] >= 1000 * PATIENCE - 10
        left = BURST - 2 - SLOTS
        answers = [client.get("/v1/models") for _ in range(left + 5)]
        assert [answer.status_code for answer in answers] == [200] * left + [429] * 5
        assert 60 <= int(answers[-1].headers["retry-after"]) <= 1000
        assert all(b"[DONE]" in stream.rest() for stream in streams)
        assert abs(written_at(gateway, answers[-1].headers["x-request-id"]) - began - jump) < HOUR / 2
        clock(0.0)
        assert client.get("/v1/models").status_code == 429
    wait_until(gateway.idle)
    assert sum(chat_fleet[name].state()["running"] for name in BOTH) == 0
    assert {event["state"] for event in gateway.events("backend_changed")} == {"healthy"}
