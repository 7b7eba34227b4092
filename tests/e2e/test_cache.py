"""Identical requests run once over all workers of a host, their answer is given again, and nobody waits in vain."""

import os
import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.e2e.test_workers import serving
from tests.support.gateway import Gateway, RawClient, in_threads, wait_until

SERVERS = ("chat0", "embed")
PATH = "/v1/embeddings"
CHAT = "/v1/chat/completions"
MANY = 200
ADMIN = "admin-0123456789abcdef"
SETTINGS: dict[str, object] = {
    "GATEWAY_WORKERS": 4,
    "CACHE_TTL_SECS": 3600,  # no test lasts so long: nothing goes by its age
    "MAX_RPS_PER_IP": 10_000,
    "RPS_BURST": 10_000,
}


@pytest.fixture
def gateway(fleet: Fleet, make_gateway: MakeGateway) -> Gateway:
    return make_gateway(fleet, **SETTINGS, MAX_INFLIGHT_PER_IP=4, TRUSTED_PROXIES="127.0.0.1/32")


def body(text: str = "Which of the tables holds the orders?") -> dict[str, Any]:
    return {"input": text}


def asked(fleet: Fleet) -> list[str]:
    """How each request ended that reached the backend."""
    return [str(row["ended"]) for row in fleet["embed"].ledger()]


def taken(folder: Path) -> int:
    """Blocks of memory that the files of a folder on tmpfs have."""
    return sum(file.stat().st_blocks for file in folder.iterdir())


def state(received: bytes) -> str:
    """What `x-gateway-cache` says."""
    return received.lower().split(b"x-gateway-cache: ")[1].split(b"\r\n")[0].decode()


def counted(gateway: Gateway, result: str, path: str = PATH) -> float:
    return gateway.metrics().get(f'gateway_cache_requests_total{{path="{path}",result="{result}"}}', 0)


def clients_of(gateway: Gateway) -> int:
    """How many connections of clients its workers have taken."""
    return sum(workers_with(gateway).values())


def workers_with(gateway: Gateway) -> dict[int, int]:
    """How many connections of clients each worker has."""
    port = f":{gateway.port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 -- procfs
        rows = [line.split() for line in list(table)[1:]]
    inodes = {row[9] for row in rows if row[1].endswith(port) and row[3] == "01"}
    found: dict[int, int] = {}
    for pid in gateway.worker_pids():
        for descriptor in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 -- procfs
            try:
                link = os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115 -- procfs
            except FileNotFoundError:
                continue
            if link.removeprefix("socket:[").rstrip("]") in inodes:
                found[pid] = found.get(pid, 0) + 1
    return found


def leader_and_followers(
    gateway: Gateway, fleet: Fleet, stack: ExitStack, count: int
) -> tuple[RawClient, list[RawClient]]:
    """One client whose request is at the backend, and so many whose identical ones wait for it, at several workers.

    The engine stands still until it is resumed.
    """
    fleet["embed"].stop_engine()
    leader = stack.enter_context(RawClient(gateway.port)).post(PATH, body())
    wait_until(lambda: asked(fleet) == ["running"])
    busy = serving(gateway, leader)
    followers = []
    for number in range(count):
        if number == 0:
            os.kill(busy, signal.SIGSTOP)  # of this test's own gateway: those who come now are another worker's
        if number == count // 2:
            wait_until(lambda: clients_of(gateway) == count // 2 + 1)
            os.kill(busy, signal.SIGCONT)
        followers.append(stack.enter_context(RawClient(gateway.port)).post(PATH, body()))
    wait_until(lambda: clients_of(gateway) == count + 1)
    assert len(workers_with(gateway)) > 1
    # Each worker asks on the connections in the order in which they came: what was answered was read, and with it all.
    with gateway.client() as client:
        wait_until(lambda: client.get("/health").status_code == 200)
    return leader, followers


def test_two_hundred_at_once_reach_the_backend_once(gateway: Gateway, fleet: Fleet) -> None:
    fleet["embed"].set_pace(ttft_ms=1000)
    answers: list[bytes] = []

    def ask(_: int) -> None:
        with RawClient(gateway.port) as client:
            client.post(PATH, body(), headers="Connection: close\r\n")
            answers.append(client.rest())

    with in_threads(MANY, ask) as failures:
        pass
    assert failures == []
    assert len(answers) == MANY
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert len({answer.partition(b"\r\n\r\n")[2] for answer in answers}) == 1
    states = [state(answer) for answer in answers]
    assert states.count("miss") == 1
    assert states.count("coalesced") > MANY // 2
    assert len(fleet["embed"].settled()) == 1
    assert [counted(gateway, name) for name in ("miss", "coalesced", "hit")] == [
        states.count(name) for name in ("miss", "coalesced", "hit")
    ]
    # Four slots, two hundred requests: only the leader has held one. And its tokens are the only ones.
    prompt = fleet["embed"].ledger()[0]["prompt_tokens"]
    assert gateway.metrics()['gateway_tokens_total{direction="prompt",model="embed"}'] == prompt
    assert gateway.metrics()['gateway_queue_wait_seconds_count{model="embed"}'] == 1


def test_an_answer_is_given_again_by_every_worker_under_its_own_request_id(gateway: Gateway, fleet: Fleet) -> None:
    def ask() -> httpx.Response:
        with gateway.client() as client:
            return client.post(PATH, json=body())

    first = ask()
    again = [ask() for _ in range(20)]
    assert first.headers["x-gateway-cache"] == "miss"
    assert {answer.headers["x-gateway-cache"] for answer in again} == {"hit"}
    assert {answer.content for answer in again} == {first.content}
    assert {answer.headers["content-type"] for answer in again} == {first.headers["content-type"]}
    assert len({answer.headers["x-request-id"] for answer in [first, *again]}) == 21
    assert len(asked(fleet)) == 1
    assert (counted(gateway, "hit"), counted(gateway, "miss")) == (20, 1)


def test_what_was_kept_before_the_control_process_published_anything_is_found_by_those_who_read_that(
    fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(fleet, **{**SETTINGS, "GATEWAY_WORKERS": 2})
    with gateway.client() as client:
        assert client.post(PATH, json=body()).headers["x-gateway-cache"] == "miss"
    wait_until(lambda: gateway.events("catalog_written"))
    for times, pid in enumerate(gateway.worker_pids(), 3):
        os.kill(pid, signal.SIGKILL)  # a worker of this test's own gateway; the next one reads before it serves
        wait_until(partial(lambda serving: len(gateway.events("worker_serving")) == serving, times))
    with gateway.client() as client:
        assert client.post(PATH, json=body()).headers["x-gateway-cache"] == "hit"


def test_chat_is_given_again_at_temperature_0_alone(gateway: Gateway, fleet: Fleet) -> None:
    chat = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
    with gateway.client() as client:
        exact = [client.post(CHAT, json={**chat, "temperature": 0}) for _ in range(2)]
        others = [
            client.post(CHAT, json={**chat, **fields})
            for fields in ({}, {"temperature": 0.1}, {"temperature": 0, "stream": True})
            for _ in range(2)
        ]
    assert [answer.headers["x-gateway-cache"] for answer in exact] == ["miss", "hit"]
    assert exact[0].json() == exact[1].json()
    assert exact[0].json()["model"] == "qwen"
    assert all("x-gateway-cache" not in answer.headers for answer in others)
    assert len(fleet["chat0"].settled()) == 7


def test_a_client_may_ask_for_an_answer_of_its_own(gateway: Gateway, fleet: Fleet) -> None:
    with gateway.client() as client:

        def ask(control: str) -> str | None:
            answer = client.post(PATH, json=body(), headers={"cache-control": control})
            found: str | None = answer.headers.get("x-gateway-cache")
            return found

        assert [ask("no-store"), ask("no-store"), ask("")] == [None, None, "miss"]
        assert [ask("no-cache"), ask("no-store"), ask("max-age=0")] == ["miss", None, "hit"]
    assert len(asked(fleet)) == 5


def test_organizations_share_nothing(gateway: Gateway, fleet: Fleet) -> None:
    with gateway.client() as client:
        states = [
            client.post(PATH, json=body(), headers={"x-forwarded-for": address}).headers["x-gateway-cache"]
            for address in ("203.0.113.7", "203.0.113.8", "203.0.113.7", "203.0.113.8")
        ]
    assert states == ["miss", "miss", "hit", "hit"]
    assert len(asked(fleet)) == 2


def test_followers_get_the_answer_though_the_leaders_client_leaves(gateway: Gateway, fleet: Fleet) -> None:
    with ExitStack() as stack:
        leader, followers = leader_and_followers(gateway, fleet, stack, 12)
        leader.reset()
        wait_until(lambda: clients_of(gateway) == 12)
        assert asked(fleet) == ["running"]
        fleet["embed"].resume_engine()
        answers = [follower.until(b'"total_tokens"') for follower in followers]
    assert {state(answer) for answer in answers} == {"coalesced"}
    assert asked(fleet) == ["finished"]
    wait_until(lambda: any(line["path"] == PATH and line["status"] == 499 for line in gateway.access_lines()))
    left = [line for line in gateway.access_lines() if line["path"] == PATH and line["status"] == 499]
    assert [(line["outcome"], line["disconnect_phase"]) for line in left] == [("client_gone", "waiting")]
    assert left[0]["prompt_tokens"] == fleet["embed"].ledger()[0]["prompt_tokens"]  # who began it is charged
    wait_until(gateway.idle)


def test_the_backend_sees_the_close_when_the_last_one_leaves(gateway: Gateway, fleet: Fleet) -> None:
    with ExitStack() as stack:
        leader, followers = leader_and_followers(gateway, fleet, stack, 12)
        leader.reset()
        for follower in followers[:-1]:
            follower.reset()
        wait_until(lambda: clients_of(gateway) == 1)
        assert asked(fleet) == ["running"]
        followers[-1].reset()
        wait_until(lambda: asked(fleet) == ["aborted"])
    wait_until(gateway.idle)


def test_one_that_leads_for_itself_alone_ends_with_its_client(gateway: Gateway, fleet: Fleet) -> None:
    fleet["embed"].stop_engine()
    with RawClient(gateway.port) as client:
        client.post(PATH, body())
        wait_until(lambda: asked(fleet) == ["running"])
        client.reset()
        wait_until(lambda: asked(fleet) == ["aborted"])
    wait_until(gateway.idle)
    fleet["embed"].resume_engine()
    with gateway.client() as another:  # nothing of it was kept
        assert another.post(PATH, json=body()).headers["x-gateway-cache"] == "miss"
    assert asked(fleet) == ["aborted", "finished"]


def test_a_follower_takes_over_from_a_leader_whose_worker_is_killed(gateway: Gateway, fleet: Fleet) -> None:
    with ExitStack() as stack:
        leader, followers = leader_and_followers(gateway, fleet, stack, 12)
        victim = serving(gateway, leader)
        surviving = [follower for follower in followers if serving(gateway, follower) != victim]
        assert surviving
        os.kill(victim, signal.SIGKILL)  # a worker of this test's own gateway
        wait_until(lambda: asked(fleet) == ["aborted", "running"])
        fleet["embed"].resume_engine()
        answers = [follower.until(b'"total_tokens"') for follower in surviving]
    states = [state(answer) for answer in answers]
    assert states.count("miss") == 1
    assert states.count("coalesced") == len(surviving) - 1
    assert asked(fleet) == ["aborted", "finished"]
    wait_until(gateway.idle)


def test_a_follower_takes_over_from_a_leader_whose_worker_is_killed_while_it_waits_for_a_slot(
    fleet: Fleet, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway(fleet, **SETTINGS, MAX_INFLIGHT_PER_IP=1, QUEUE_TIMEOUT_SECS=60)
    wait_until(gateway.well)
    fleet["chat0"].stop_engine()
    with ExitStack() as stack:
        turn = {"model": "qwen", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
        stack.enter_context(RawClient(gateway.port)).post(CHAT, turn)
        wait_until(lambda: len(fleet["chat0"].ledger()) == 1)
        leader = stack.enter_context(RawClient(gateway.port)).post(PATH, body())
        wait_until(lambda: gateway.metrics().get("gateway_queued_requests") == 1)
        victim = serving(gateway, leader)
        followers = [stack.enter_context(RawClient(gateway.port)).post(PATH, body()) for _ in range(24)]
        wait_until(lambda: clients_of(gateway) == 26)
        surviving = [follower for follower in followers if serving(gateway, follower) != victim]
        assert surviving
        os.kill(victim, signal.SIGKILL)  # a worker of this test's own gateway
        wait_until(lambda: victim not in gateway.worker_pids())
        fleet["chat0"].resume_engine()
        answers = [follower.until(b'"total_tokens"') for follower in surviving]
    states = [state(answer) for answer in answers]
    assert states.count("miss") == 1
    assert states.count("coalesced") == len(surviving) - 1
    assert asked(fleet) == ["finished"]
    wait_until(gateway.idle)


@pytest.mark.parametrize(("entries", "size"), [(20, 2**25), (10_000, 2**20)], ids=["entries", "bytes"])
def test_a_flood_keeps_to_the_bounds_in_a_file_that_does_not_grow_and_what_is_alike_still_runs_once(
    fleet: Fleet, make_gateway: MakeGateway, entries: int, size: int
) -> None:
    bounds = {"CACHE_MAX_ENTRIES": entries, "CACHE_MAX_BYTES": size}
    gateway = make_gateway(fleet, **SETTINGS, **bounds, ADMIN_API_KEY=ADMIN)
    wait_until(gateway.well)
    (folder,) = gateway.limiter_path.glob("cache-*")
    before = taken(folder)

    def flood(thread: int) -> None:
        with gateway.client() as client:
            for number in range(60):
                answer = client.post(PATH, json=body(f"{thread}-{number}"))
                assert (answer.status_code, answer.headers["x-gateway-cache"]) == (200, "miss")

    with in_threads(6, flood) as failures:
        pass
    assert not failures, failures
    assert len(asked(fleet)) == 360
    figures = gateway.metrics()
    assert sum(value for name, value in figures.items() if name.startswith("gateway_cache_evictions_total")) > 0
    kept = figures["gateway_cache_added_bytes_total"] - figures["gateway_cache_dropped_bytes_total"]
    assert 0 < kept <= size
    fleet.clear()
    with ExitStack() as stack:
        leader, followers = leader_and_followers(gateway, fleet, stack, 12)
        fleet["embed"].resume_engine()
        answers = [client.until(b'"total_tokens"') for client in (leader, *followers)]
    assert [state(answer) for answer in answers] == ["miss", *["coalesced"] * 12]
    assert asked(fleet) == ["finished"]
    with gateway.client() as client:
        assert client.post(PATH, json=body()).headers["x-gateway-cache"] == "hit"
    assert taken(folder) == before
    wait_until(lambda: gateway.events("control_serving"))
    url = f"{gateway.url}/admin/v1/cache/flush"
    answer = httpx.post(url, headers={"X-Admin-Key": ADMIN}, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    flushed = answer.json()["flushed"]
    assert 1 <= flushed <= min(entries, size // 4096)


@pytest.mark.parametrize("failures", [1, 2])
def test_one_waiter_tries_again_where_the_backend_fails_and_a_second_failure_is_everybodys(
    gateway: Gateway, fleet: Fleet, failures: int
) -> None:
    with ExitStack() as stack:
        fleet["embed"].set_fault("truncated_body", count=failures)
        leader, followers = leader_and_followers(gateway, fleet, stack, 12)
        fleet["embed"].resume_engine()
        answers = [client.until(b"}") for client in (leader, *followers)]
    codes = [answer[9:12] for answer in answers]
    if failures == 1:
        assert codes == [b"502"] + [b"200"] * 12
        assert [state(answer) for answer in answers[1:]].count("coalesced") == 11
    else:
        assert codes == [b"502"] * 13
        assert all(b'"code":"bad_gateway"' in answer for answer in answers)
    assert len(asked(fleet)) == 2
    fleet.clear()
    with gateway.client() as client:  # no failure is kept
        assert client.post(PATH, json=body()).status_code == 200


def test_a_refusal_of_the_request_itself_is_everybodys_at_once(gateway: Gateway, fleet: Fleet) -> None:
    with ExitStack() as stack:
        fleet["embed"].set_fault("delay", seconds=1.0, count=1)
        wrong = {**body(), "dimensions": -1}
        clients = [stack.enter_context(RawClient(gateway.port)).post(PATH, wrong) for _ in range(8)]
        answers = [client.until(b"}") for client in clients]
    assert {answer[9:12] for answer in answers} == {b"400"}
    assert len({answer.partition(b"\r\n\r\n")[2] for answer in answers}) == 1
    assert len(asked(fleet)) == 1
