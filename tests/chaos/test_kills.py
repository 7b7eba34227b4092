"""kill -9 of a worker in every phase of a request: who was there sees it, nothing runs twice, nothing stays held."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, start_fleet
from tests.e2e.test_workers import serving
from tests.soak.looks import leases_and_seats
from tests.support.gateway import KEY, Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "ignore_eos": True}
BOTH = ("chat0", "chat1")
SLOTS, SEATS = 4, 1
"""Of the organization, and at each backend: two of those with a slot run, two wait for a seat, others for a slot."""
MOST_CONNECTIONS = 200
BACK_SECS = 10.0
"""2 s are promised; a machine with other work may add some, and only the death itself gives back what was held."""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield start_fleet(stack, *BOTH)


@pytest.fixture(scope="module")
def gateway(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {
        **fleet.settings(),
        "GATEWAY_WORKERS": 2,
        "MAX_RPS_PER_IP": 10_000,
        "RPS_BURST": 10_000,
        "MAX_INFLIGHT_PER_IP": SLOTS,
        "MAX_INFLIGHT_PER_BACKEND": SEATS,
        "QUEUE_TIMEOUT_SECS": 60,
    }
    with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
        yield gateway


def figure(gateway: Gateway, name: str) -> float:
    samples = gateway.metrics().items()
    return sum(value for sample, value in samples if sample.partition("{")[0] == name)


def running(fleet: Fleet) -> int:
    return sum(int(fleet[name].state()["running"]) for name in BOTH)


def held(gateway: Gateway) -> tuple[int, int]:
    """Slots and places, seats and places before them, as the shared store says."""
    return asyncio.run(leases_and_seats(gateway.limiter_path))


class Crowd:
    """Kept connections at two workers, each known by its worker.

    Attributes:
        victim: the worker that is to be killed.
        theirs: connections of the victim's that ask nothing yet.
        others: the same of the other worker's.
    """

    def __init__(self, gateway: Gateway, stack: ExitStack) -> None:
        self.gateway = gateway
        by_worker: dict[int, list[RawClient]] = {pid: [] for pid in gateway.worker_pids()}
        for _ in range(MOST_CONNECTIONS):
            client = stack.enter_context(RawClient(gateway.port))
            client.send(b"GET /health HTTP/1.1\r\nHost: g\r\n\r\n").until(b"\r\n\r\n")
            client.received = b""
            by_worker[serving(gateway, client)].append(client)
            if all(len(clients) > SLOTS for clients in by_worker.values()):
                break
        (self.victim, self.theirs), (_, self.others) = by_worker.items()

    def hold(self, fleet: Fleet, slots: int) -> list[RawClient]:
        """So many requests of the other worker's that run, or wait for a seat, until they are left."""
        clients = [self.others.pop().post(PATH, {**BODY, "max_tokens": 5000}) for _ in range(slots)]
        wait_until(lambda: figure(self.gateway, "gateway_in_flight_requests") == slots)
        wait_until(lambda: running(fleet) == min(slots, len(BOTH)))
        return clients


def idle(crowd: Crowd, fleet: Fleet) -> RawClient:
    assert fleet.requests() == 0
    return crowd.theirs[0]


def in_its_head(crowd: Crowd, fleet: Fleet) -> RawClient:
    assert fleet.requests() == 0
    return crowd.theirs[0].send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthor")


def in_its_body(crowd: Crowd, fleet: Fleet) -> RawClient:
    assert fleet.requests() == 0
    head = f"POST {PATH} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"
    return crowd.theirs[0].send(head.encode())


def queued(crowd: Crowd, fleet: Fleet) -> RawClient:
    crowd.hold(fleet, SLOTS)
    client = crowd.theirs[0].post(PATH, BODY)
    wait_until(lambda: figure(crowd.gateway, "gateway_queued_requests") == 1)
    return client


def waiting_for_a_seat(crowd: Crowd, fleet: Fleet) -> RawClient:
    crowd.hold(fleet, len(BOTH))
    client = crowd.theirs[0].post(PATH, BODY)
    wait_until(lambda: figure(crowd.gateway, "gateway_seats_waiting") == 1)
    return client


def before_the_first_token(crowd: Crowd, fleet: Fleet) -> RawClient:
    for name in BOTH:
        fleet[name].set_pace(ttft_ms=60_000)
    client = crowd.theirs[0].post(PATH, {**BODY, "stream": True})
    wait_until(lambda: running(fleet) == 1)
    return client


def in_mid_stream(crowd: Crowd, fleet: Fleet) -> RawClient:
    client = crowd.theirs[0].post(PATH, {**BODY, "max_tokens": 5000, "stream": True})
    client.until(b'"content":"')
    assert running(fleet) == 1
    return client


def in_a_whole_answer(crowd: Crowd, fleet: Fleet) -> RawClient:
    client = crowd.theirs[0].post(PATH, {**BODY, "max_tokens": 5000})
    wait_until(lambda: running(fleet) == 1)
    return client


PHASES = (
    idle,
    in_its_head,
    in_its_body,
    queued,
    waiting_for_a_seat,
    before_the_first_token,
    in_mid_stream,
    in_a_whole_answer,
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("phase", PHASES)
def test_what_a_worker_held_that_is_killed_is_free_and_nothing_is_sent_again(
    gateway: Gateway, fleet: Fleet, phase: Callable[[Crowd, Fleet], RawClient]
) -> None:
    fleet.clear()
    for name in BOTH:
        fleet[name].set_pace(token_ms=20)
    wait_until(lambda: len(gateway.worker_pids()) == 2 and figure(gateway, "gateway_workers") == 2)
    with ExitStack() as stack:
        crowd = Crowd(gateway, stack)
        client = phase(crowd, fleet)
        sent, theirs = fleet.requests(), phase not in {idle, in_its_head, in_its_body, queued, waiting_for_a_seat}
        os.kill(crowd.victim, signal.SIGKILL)  # a worker of this test's own gateway
        said = client.rest()
        assert b"[DONE]" not in said
        assert not said.endswith(b"0\r\n\r\n")
        wait_until(lambda: running(fleet) == sent - theirs, BACK_SECS, "what it had sent runs on")
        assert fleet.requests() == sent, "something was sent again"
    wait_until(lambda: held(gateway) == (0, 0), BACK_SECS, f"held: {held(gateway)}")
    wait_until(lambda: len(gateway.worker_pids()) == 2 and crowd.victim not in gateway.worker_pids())
    wait_until(lambda: [one["in_flight"] for one in gateway.report()["backends"]] == [0, 0])
    wait_until(gateway.idle)
    wait_until(lambda: running(fleet) == 0)
    for name in BOTH:
        fleet[name].set_pace(ttft_ms=0, token_ms=0)
    with gateway.client() as visitor:
        answers = [visitor.post(PATH, json={**BODY, "max_tokens": 2}) for _ in range(2 * SLOTS)]
    assert {answer.status_code for answer in answers} == {200}
    ids = [row["request_id"] for name in BOTH for row in fleet[name].ledger()]
    assert len(ids) == len(set(ids)) >= sent + 2 * SLOTS  # who waited for a seat got it when others were left
