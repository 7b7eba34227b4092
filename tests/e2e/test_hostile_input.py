"""Keys and bodies that were made to do harm: each is refused in words, none becomes a 500, and nothing leaks."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Fleet, MakeGateway, start_fleet
from tests.support.gateway import BACKEND_KEY, KEY, Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "hi"}]
CHAT: dict[str, Any] = {"messages": QUESTION, "max_tokens": 2}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"prompt": "x", "max_tokens": 2},
    "/v1/responses": {"input": "x", "max_output_tokens": 2},
    "/v1/messages": CHAT,
    "/v1/messages/count_tokens": {"messages": QUESTION},
    "/v1/embeddings": {"input": "x"},
    "/v1/rerank": {"query": "x", "documents": ["x", "y"]},
    "/v2/rerank": {"query": "x", "documents": ["x", "y"]},
    "/v1/score": {"text_1": "x", "text_2": "y"},
    "/v1/tokenize": {"prompt": "x"},
    "/v1/text2sql": CHAT,
}
WRONG: list[Any] = ["words", -1, 0.5, True, [], {}, [[]], {"a": [None]}]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield start_fleet(stack, "chat0", "text2sql", "embed", "rerank")


@pytest.fixture(scope="module")
def gateway(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {**fleet.settings(), "MAX_RPS_PER_IP": 100_000, "RPS_BURST": 100_000, "FAILED_AUTH_PER_SEC": 0}
    with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _nothing_switched_on(fleet: Fleet) -> None:
    fleet.clear()


def documented_fields(document: dict[str, Any], path: str) -> list[str]:
    """The fields of a path's body, as the gateway's own OpenAPI document lists them."""
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return list(schema["properties"])


@pytest.mark.parametrize("path", BODIES)
def test_no_type_in_any_documented_field_is_a_500(gateway: Gateway, path: str) -> None:
    with gateway.client() as client:
        fields = documented_fields(client.get("/openapi.json").json(), path)
        assert len(fields) > 1
        for field in fields:
            for value in WRONG:
                answer = client.post(path, json={**BODIES[path], field: value})
                assert answer.status_code in {200, 400, 404}, (field, value, answer.text)
                assert answer.is_success or answer.json()["error"]["message"], (field, value)


REFUSED: dict[str, list[Any]] = {
    "model": [7, ["qwen"], {}, True],
    "stream": ["yes", 1, [], {}],
    "stream_options": [True, "usage"],
    "max_tokens": ["two", 2.5, [2], {}, 10**4000, 100_000],
    "n": ["many", [1], {}, 16_384],
    "prompt": [["x"] * 10_000],
}


@pytest.mark.parametrize("field", REFUSED)
def test_a_field_that_decides_is_refused_by_its_name_and_goes_nowhere(
    gateway: Gateway, fleet: Fleet, field: str
) -> None:
    path = "/v1/completions"
    with gateway.client() as client:
        for value in REFUSED[field]:
            answer = client.post(path, json={**BODIES[path], field: value})
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, field), value
            assert len(answer.json()["error"]["message"]) < 300
    assert fleet.requests() == 0
    wait_until(gateway.idle)


def test_a_number_of_a_million_digits_holds_nobody_up(gateway: Gateway, fleet: Fleet) -> None:
    with gateway.client() as client:
        answer = client.post(PATH, content=b'{"max_tokens":' + b"9" * 1_000_000 + b"}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "max_tokens")
    assert fleet.requests() == 0


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A server that nobody should come to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0)
        yield listener


def test_no_field_of_a_body_sends_a_request_or_the_backends_key_elsewhere(
    gateway: Gateway, fleet: Fleet, trap: socket.socket
) -> None:
    elsewhere = f"http://127.0.0.1:{trap.getsockname()[1]}"
    wishes: dict[str, Any] = dict.fromkeys(("api_base", "base_url", "api_url", "backend", "host"), elsewhere)
    wishes |= {
        "api_key": "sk-another",
        "extra_headers": {"authorization": "Bearer x", "x-evil": "1"},
        "headers": {"a": "b"},
    }
    with gateway.client() as client:
        answer = client.post(PATH, json={**CHAT, **wishes})
    assert answer.status_code == 200
    (row,) = fleet["chat0"].ledger()
    seen = {name.lower(): value for name, value in row["headers"]}
    assert seen["authorization"] == f"Bearer {BACKEND_KEY}"
    assert "x-evil" not in seen
    with pytest.raises(BlockingIOError):
        trap.accept()


@pytest.mark.parametrize(
    "key",
    [b"'\"; DROP TABLE keys; --", b"\xff\xfe\x80", b"a\x00b", b"\x1b[31m", b"k" * 50_000, b"k" * 100_000, b"{}%s%n"],
    ids=["quotes", "no text", "a NUL", "colours", "50 KB", "100 KB", "formats"],
)
def test_no_key_however_it_is_made_is_a_500(gateway: Gateway, fleet: Fleet, key: bytes) -> None:
    with RawClient(gateway.port) as client:
        client.send(
            b"GET /v1/models HTTP/1.1\r\nHost: g\r\nConnection: close\r\nAuthorization: Bearer " + key + b"\r\n\r\n"
        )
        received = client.rest()
    assert received.split(b" ", 2)[1] in {b"400", b"401", b"431"}
    assert fleet.requests() == 0
    with gateway.client() as client_with_key:
        assert client_with_key.get("/v1/models").status_code == 200


def test_a_canary_key_is_found_in_no_answer_log_or_metric(make_gateway: MakeGateway, fleet: Fleet) -> None:
    right, wrong, prompt = "sk-canary-of-the-client", "sk-canary-that-is-wrong", "canary-in-the-prompt"
    gateway = make_gateway(fleet, GATEWAY_API_KEY=right, LOG_LEVEL="debug")
    fleet["chat0"].set_faults({"name": "reset_before_headers", "count": 1})
    texts = []
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        for key in (right, wrong):
            for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
                for path in (PATH, "/v1/messages", "/v1/nothing", "/v1/models/nope"):
                    body = {**CHAT, "model": "nope" if "x-api-key" in headers else "qwen", "user": prompt}
                    body["messages"] = [{"role": "user", "content": prompt}]
                    answer = client.post(path, json=body, headers=headers)
                    texts.append(
                        f"{answer.headers} {answer.text}" if answer.status_code != 200 else str(answer.headers)
                    )
        own = ("/health", "/ready", "/health/detailed", "/openapi.json", "/docs")
        texts += [client.get(path, headers={"authorization": f"Bearer {right}"}).text for path in own]
    wait_until(lambda: len(gateway.access_lines()) >= 21)
    everything = "\n".join([*texts, gateway.log_text(), str(gateway.metrics())])
    assert [secret for secret in (right, wrong, prompt, BACKEND_KEY) if secret in everything] == []


def test_a_thousand_wrong_keys_lock_out_their_sender_alone_and_cost_no_memory(
    make_gateway: MakeGateway, fleet: Fleet
) -> None:
    gateway = make_gateway(fleet, FAILED_AUTH_PER_SEC=0.001, FAILED_AUTH_BURST=20)
    (pid,) = gateway.worker_pids()

    def knock(first: int) -> list[int]:
        return [
            client.get("/v1/models", headers={"authorization": f"Bearer wrong-{number}"}).status_code
            for number in range(first, first + 1000)
        ]

    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        assert knock(0) == [401] * 20 + [429] * 980
        before = resident_kib(pid)
        assert set(knock(1000)) == {429}
        assert resident_kib(pid) - before < 1024
        other = client.get("/v1/models", headers={"authorization": f"Bearer {KEY}", "x-forwarded-for": "198.51.100.9"})
        assert other.status_code == 200


def resident_kib(pid: int) -> int:
    """Memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def test_bodies_that_stall_are_408_and_hold_no_slot(make_gateway: MakeGateway, fleet: Fleet) -> None:
    gateway = make_gateway(fleet, CLIENT_BODY_TIMEOUT_SECS=1, MAX_INFLIGHT_PER_IP=1, MAX_QUEUED_PER_IP=1)
    head = f"POST {PATH} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"
    with ExitStack() as stack:
        stalled = [stack.enter_context(RawClient(gateway.port)).send(head.encode()) for _ in range(50)]
        with gateway.client() as client:
            for _ in range(10):
                assert client.post(PATH, json=CHAT).status_code == 200
        wait_until(gateway.idle)
        received = [client.rest() for client in stalled]
    assert [answer for answer in received if not answer.startswith(b"HTTP/1.1 408 ")] == []
    assert all(b'"code":"request_timeout"' in answer for answer in received)
    assert len(fleet["chat0"].ledger()) == 10


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        *((name, "198.51.100.%d") for name in ("x-forwarded-for", "x-real-ip", "x-client-ip", "true-client-ip")),
        ("forwarded", "for=198.51.100.%d"),
    ],
)
def test_no_field_of_a_strangers_makes_it_another_organization(
    make_gateway: MakeGateway, fleet: Fleet, name: str, claim: str
) -> None:
    gateway = make_gateway(fleet, MAX_RPS_PER_IP=0.01, RPS_BURST=1, TRUSTED_PROXIES="10.9.9.0/24")
    with gateway.client() as client:
        answers = [client.get("/v1/models", headers={name: claim % number}) for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]
