"""Replicas that die, fail, refuse or return, behind real gateways: who gets requests, and what clients see."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Fleet, MakeGateway, start_fleet
from tests.support.gateway import KEY, Gateway, in_threads, wait_until

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
QUESTION: Any = [{"role": "user", "content": "count"}]
BODY: dict[str, Any] = {"model": "qwen", "messages": QUESTION, "max_tokens": 5}
BOTH = ("chat0", "chat1")
POLICIES = ("round_robin", "weighted_round_robin", "least_inflight", "power_of_two")
FREE: dict[str, object] = {"GATEWAY_WORKERS": 2, "MAX_RPS_PER_IP": 100_000, "RPS_BURST": 100_000}
TRIAL_SECS = 4.0
DEAD_ENGINE = {"status": 500, "form": "engine_dead"}
FULL_QUEUE = {"status": 503, "form": "queue_full"}


@pytest.fixture(scope="module")
def three_servers() -> Iterator[Fleet]:
    """Two chat replicas and the model that stands in for them."""
    with ExitStack() as stack:
        yield start_fleet(stack, "chat0", "chat1", "text2sql")


@pytest.fixture
def three(three_servers: Fleet) -> Fleet:
    """The same, with nothing switched on."""
    three_servers.clear()
    return three_servers


def ask(gateway: Gateway, count: int, *, clients: int = 8, body: dict[str, Any] | None = None) -> list[int]:
    """The statuses of so many requests, from several clients at once."""

    def visit(_: int) -> list[int]:
        with gateway.client() as client:
            return [client.post(PATH, json=body or BODY).status_code for _ in range(count // clients)]

    with ThreadPoolExecutor(clients) as pool:  # which waits for all, however long a busy machine takes
        return [status for statuses in pool.map(visit, range(clients)) for status in statuses]


def share(fleet: Fleet, name: str) -> int:
    return len(fleet[name].ledger())


def changed(gateway: Gateway, after: str = "open") -> list[str]:
    """The backends whose circuits have opened so far, or closed, in order."""
    return [event["backend"] for event in gateway.events("circuit_changed") if event["after"] == after]


def attempts(gateway: Gateway) -> int:
    """How often all requests together have gone to a backend."""
    return sum(line["attempts"] for line in gateway.access_lines())


async def ask_by_sdk(gateway: Gateway, calls: int) -> Counter[str]:
    """So many calls of OpenAI's client, which repeats what it is let repeat; how they ended."""
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, timeout=60) as client:

        async def call() -> str:
            try:
                await client.chat.completions.create(model="qwen", messages=QUESTION, max_tokens=5)
            except openai.APIStatusError as error:
                return str(error.status_code)
            return "ok"

        return Counter(await asyncio.gather(*(call() for _ in range(calls))))


@pytest.mark.parametrize(
    ("fault", "parameters", "status"),
    [("refuse", {}, "503"), ("reset_before_headers", {}, "502"), ("status", DEAD_ENGINE, "500")],
    ids=["refused", "reset", "engine dead"],
)
async def test_two_dead_replicas_see_few_more_attempts_than_there_are_calls(
    chat_fleet: Fleet, make_gateway: MakeGateway, fault: str, parameters: dict[str, Any], status: str
) -> None:
    gateway = make_gateway(chat_fleet, **FREE)
    wait_until(gateway.well)
    for name in BOTH:
        chat_fleet[name].set_fault(fault, path=PATH if fault != "refuse" else None, **parameters)
    ended = await ask_by_sdk(gateway, 60)
    assert ended == {status: 60}
    wait_until(gateway.idle)
    assert attempts(gateway) <= 1.1 * 60


@pytest.mark.parametrize("policy", POLICIES)
def test_a_replica_that_fails_fast_attracts_nothing(chat_fleet: Fleet, make_gateway: MakeGateway, policy: str) -> None:
    gateway = make_gateway(chat_fleet, **FREE, BALANCING_POLICY=policy)
    wait_until(gateway.well)
    chat_fleet["chat1"].set_pace(ttft_ms=20)
    chat_fleet["chat0"].set_fault("status", path=PATH, **DEAD_ENGINE)
    statuses = Counter(ask(gateway, 400))
    assert share(chat_fleet, "chat0") == statuses[500] <= 5 + 8  # those that opened its circuit, and who was on the way
    assert statuses[200] == 400 - statuses[500]
    # Where loads decide, too few reach it to open its circuit.
    if policy.endswith("round_robin"):
        assert wait_until(lambda: changed(gateway)) == ["chat0"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_full_replica_costs_nobody_an_answer(chat_fleet: Fleet, make_gateway: MakeGateway, policy: str) -> None:
    gateway = make_gateway(chat_fleet, **FREE, BALANCING_POLICY=policy)
    wait_until(gateway.well)
    chat_fleet["chat1"].set_pace(ttft_ms=20)
    chat_fleet["chat0"].set_fault("status", path=PATH, **FULL_QUEUE)
    assert Counter(ask(gateway, 400)) == {200: 400}
    assert share(chat_fleet, "chat0") < 40
    assert changed(gateway) == []


def test_weights_are_kept_over_all_workers(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, **FREE, BALANCING_POLICY="weighted_round_robin", CHAT_WEIGHTS="3,1")
    wait_until(gateway.well)
    ask(gateway, 200)
    assert [share(chat_fleet, name) for name in BOTH] == [150, 50]


def test_the_last_backend_stays_in_rotation_and_answers_as_soon_as_it_can(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, **FREE)
    wait_until(gateway.well)
    for name in BOTH:
        chat_fleet[name].set_fault("status", path=PATH, **DEAD_ENGINE)
    assert set(ask(gateway, 40)) == {500}
    wait_until(lambda: sorted(changed(gateway)) == ["chat0", "chat1"])
    for name in BOTH:
        chat_fleet[name].clear()
    assert set(ask(gateway, 16)) == {200}  # though both circuits are open for half a minute


async def test_of_two_hundred_that_wait_one_tries_a_half_open_backend(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(
        chat_fleet, **{**FREE, "GATEWAY_WORKERS": 4}, CIRCUIT_RECOVERY_TIMEOUT=TRIAL_SECS, MAX_INFLIGHT_PER_IP=400
    )
    wait_until(gateway.well)
    chat_fleet["chat0"].set_fault("status", path=PATH, **DEAD_ENGINE)
    ask(gateway, 40)
    assert wait_until(lambda: changed(gateway)) == ["chat0"]
    chat_fleet.clear()
    chat_fleet["chat0"].set_fault("slow", seconds=2)  # its five tokens outlast the arrival of all the others
    await asyncio.sleep(TRIAL_SECS + 0.2)  # noqa: TID251 -- the pause itself: nothing else says that it is over
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        calls = (client.chat.completions.create(model="qwen", messages=QUESTION, max_tokens=5) for _ in range(200))
        answers = await asyncio.gather(*calls)
    assert len(answers) == 200
    assert share(chat_fleet, "chat0") == 1
    assert wait_until(lambda: changed(gateway, "closed")) == ["chat0"]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_thousand_mistakes_of_clients_open_no_circuit(
    chat_fleet: Fleet, make_gateway: MakeGateway, status: int
) -> None:
    gateway = make_gateway(chat_fleet, **FREE)
    wait_until(gateway.well)
    for name in BOTH:
        chat_fleet[name].set_fault("status", path=PATH, status=status)
    assert set(ask(gateway, 1000)) == {status}
    assert [share(chat_fleet, name) for name in BOTH] == [500, 500]
    assert gateway.events("circuit_changed") == []


def test_clients_that_leave_open_no_circuit(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, **FREE, CIRCUIT_FAILURE_THRESHOLD=1)
    wait_until(gateway.well)
    for name in BOTH:
        chat_fleet[name].set_fault("hang", path=PATH)

    def leave(_: int) -> None:
        with gateway.client() as client, pytest.raises(Exception, match="timed out"):
            client.post(PATH, json=BODY, timeout=0.3)

    with in_threads(20, leave) as failures:
        pass
    assert failures == []
    wait_until(gateway.idle)
    assert gateway.events("circuit_changed") == []


def test_when_every_replica_is_down_it_is_said_without_asking_any(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, **FREE, BACKEND_LOADING_SECS=0)
    wait_until(gateway.well)
    for name in BOTH:
        chat_fleet[name].set_fault("refuse")
    ask(gateway, 1, clients=1)
    wait_until(lambda: len([e for e in gateway.events("backend_changed") if e["state"] == "down"]) == 2)
    with gateway.client() as client:
        client.get("/health")  # its connection is there
        begun = time.monotonic()
        answer = client.post(PATH, json=BODY)
        took = [time.monotonic() - begun]
        for _ in range(2):  # the quickest counts: whatever else runs here makes others slower
            begun = time.monotonic()
            client.post(PATH, json=BODY)
            took.append(time.monotonic() - begun)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert "x-should-retry" not in answer.headers
    line = gateway.access_line(answer.headers["x-request-id"])
    assert (line["attempts"], line["backend"]) == (0, None)
    assert min(took) < 0.5  # a tenth of it on a machine that is not shared


def test_a_group_that_is_down_is_stood_in_for_and_one_that_returns_answers_itself(
    three: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(three, **FREE, CHAT_FALLBACK="text2sql", BACKEND_UP_AFTER=1)
    wait_until(gateway.well)
    for name in BOTH:
        three[name].set_fault("refuse")
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="qwen", messages=QUESTION, max_tokens=5)
        assert (raw.headers["x-gateway-fallback"], raw.parse().model) == ("text2sql", "qwen")
        with client.chat.completions.with_streaming_response.create(
            model="qwen", messages=QUESTION, max_tokens=5, stream=True
        ) as streamed:
            assert streamed.headers["x-gateway-fallback"] == "text2sql"
            events = list(streamed.parse())
        assert {event.model for event in events} == {"qwen"}
        three["text2sql"].set_fault("status", status=422, path=PATH)
        with pytest.raises(openai.InternalServerError) as refusal:  # what the other model alone refuses
            client.chat.completions.create(model="qwen", messages=QUESTION)
        assert refusal.value.status_code == 503
        assert "x-gateway-fallback" not in refusal.value.response.headers
        three["text2sql"].set_fault("status", status=500, path=PATH)
        with pytest.raises(openai.InternalServerError) as failure:
            client.chat.completions.create(model="qwen", messages=QUESTION)
        assert failure.value.status_code == 500
        assert failure.value.response.headers["x-gateway-fallback"] == "text2sql"
        three.clear()
        wait_until(gateway.well)
        own = client.chat.completions.with_raw_response.create(model="qwen", messages=QUESTION, max_tokens=5)
        assert "x-gateway-fallback" not in own.headers
    counted = [value for name, value in gateway.metrics().items() if name.startswith("gateway_fallbacks_total{")]
    assert counted == [3]


def test_a_group_that_refuses_is_stood_in_for_too(three: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(three, **FREE, CHAT_FALLBACK="text2sql")
    wait_until(gateway.well)
    for name in BOTH:
        three[name].set_fault("status", path=PATH, **FULL_QUEUE)
    with gateway.client() as client:
        answer = client.post(PATH, json=BODY)
    assert (answer.status_code, answer.headers["x-gateway-fallback"]) == (200, "text2sql")
    assert answer.json()["model"] == "qwen"


def test_the_backlog_stays_in_the_gateway_where_places_at_backends_are_limited(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(chat_fleet, **FREE, MAX_INFLIGHT_PER_BACKEND=2, QUEUE_TIMEOUT_SECS=30)
    wait_until(gateway.well)
    for name in BOTH:
        chat_fleet[name].set_pace(ttft_ms=100)
    most = Counter[str]()
    done = False

    def look(_: int) -> None:
        while not done:
            for name in BOTH:
                most[name] = max(most[name], sum(chat_fleet[name].state().values()))

    with in_threads(1, look) as failures:
        statuses = ask(gateway, 80, clients=40)
        done = True
    assert failures == []
    assert Counter(statuses) == {200: 80}
    assert [most[name] for name in BOTH] == [2, 2]


def test_a_replica_that_dies_does_not_draw_those_who_wait_for_a_place(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(
        chat_fleet, **FREE, MAX_INFLIGHT_PER_BACKEND=1, CIRCUIT_FAILURE_THRESHOLD=3, QUEUE_TIMEOUT_SECS=30
    )
    wait_until(gateway.well)
    for name in BOTH:
        chat_fleet[name].stop_engine()

    def waiting() -> float:
        return sum(value for name, value in gateway.metrics().items() if name.startswith("gateway_seats_waiting"))

    def die(_: int) -> None:
        assert wait_until(lambda: waiting() == 38)
        chat_fleet["chat0"].set_fault("status", path=PATH, **DEAD_ENGINE)
        chat_fleet["chat1"].set_pace(ttft_ms=50)
        for name in BOTH:
            chat_fleet[name].resume_engine()

    with in_threads(1, die) as failures:
        statuses = Counter(ask(gateway, 40, clients=40))
    assert failures == []
    assert changed(gateway) == ["chat0"]
    assert 3 <= statuses[500] <= 3 + 2  # those that opened its circuit, and who was on the way
    assert statuses[200] == 40 - statuses[500]


def test_a_full_replica_does_not_draw_requests_by_its_free_places(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, **FREE, MAX_INFLIGHT_PER_BACKEND=2, QUEUE_TIMEOUT_SECS=30)
    wait_until(gateway.well)
    chat_fleet["chat1"].set_pace(ttft_ms=50)
    chat_fleet["chat0"].set_fault("status", path=PATH, **FULL_QUEUE)
    assert Counter(ask(gateway, 40, clients=40)) == {200: 40}
    assert share(chat_fleet, "chat0") < 20


def test_who_waits_for_a_place_for_too_long_is_told_when_to_come_back(
    chat_fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(
        chat_fleet, **FREE, MAX_INFLIGHT_PER_BACKEND=1, MAX_QUEUED_PER_BACKEND=1, QUEUE_TIMEOUT_SECS=0.3
    )
    wait_until(gateway.well)
    for name in BOTH:
        chat_fleet[name].set_fault("hang", path=PATH)
    answers = []

    def visit(_: int) -> None:
        with gateway.client() as client:
            answers.append(client.post(PATH, json=BODY, timeout=10))

    with in_threads(12, visit):
        pass  # two hang at the replicas until they have had enough
    assert [answer.status_code for answer in answers] == [503] * 10
    assert {answer.json()["error"]["code"] for answer in answers} == {"backend_queue_full"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    wait_until(gateway.idle)


def test_whatever_fails_no_request_is_answered_twice(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(chat_fleet, **FREE, CIRCUIT_RECOVERY_TIMEOUT=0.2, BACKEND_UP_AFTER=1)
    wait_until(gateway.well)
    done = False

    def spoil(_: int) -> None:
        faults: list[dict[str, Any]] = [
            {"name": "refuse"},
            {"name": "close_idle", "seconds": 0.0},
            {"name": "status", "path": PATH, **FULL_QUEUE},
            {"name": "reset_before_headers", "path": PATH},
            {"name": "status", "path": PATH, "status": 500, "form": "draining"},
            {"name": "truncated_body", "path": PATH},
        ]
        turn = 0
        while not done:
            chat_fleet["chat0"].set_faults(faults[turn % len(faults)])
            time.sleep(0.1)
            turn += 1

    with in_threads(1, spoil) as failures:
        statuses = Counter(ask(gateway, 800))
        done = True
    assert failures == []
    assert set(statuses) <= {200, 502, 503}
    assert statuses[200] > 400
    rows = [row for name in BOTH for row in chat_fleet[name].settled()]
    ran = Counter(row["request_id"] for row in rows if row["ended"] != "refused")
    assert max(ran.values()) == 1
