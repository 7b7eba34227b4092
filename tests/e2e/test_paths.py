"""The allow-list: what is not on it reaches no backend, and what is goes where its row says."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, start_fleet
from tests.support.gateway import BACKEND_KEY, KEY, Gateway, RawClient, wait_until

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
RELAYED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("/v1/chat/completions", "/v1/chat/completions", "chat", CHAT),
    ("/v1/completions", "/v1/completions", "chat", {"prompt": "x", "max_tokens": 2}),
    ("/v1/responses", "/v1/responses", "chat", {"input": "x", "max_output_tokens": 2}),
    ("/v1/messages", "/v1/messages", "chat", CHAT),
    ("/v1/messages/count_tokens", "/v1/messages/count_tokens", "chat", {"messages": CHAT["messages"]}),
    ("/v1/embeddings", "/v1/embeddings", "embed", {"input": "x"}),
    ("/v1/rerank", "/rerank", "rerank", {"query": "x", "documents": ["x", "y"]}),
    ("/v2/rerank", "/rerank", "rerank", {"query": "x", "documents": ["x", "y"]}),
    ("/v1/score", "/score", "rerank", {"text_1": "x", "text_2": "y"}),
    ("/v1/tokenize", "/tokenize", "chat", {"prompt": "x"}),
    ("/v1/text2sql", "/v1/chat/completions", "text2sql", CHAT),
]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield start_fleet(stack, "chat0", "text2sql", "embed", "rerank")


@pytest.fixture(scope="module")
def gateway(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {**fleet.settings(), "MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000}
    with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _nothing_switched_on(fleet: Fleet) -> None:
    fleet.clear()


@pytest.mark.parametrize(("path", "upstream", "group", "body"), RELAYED, ids=[row[0] for row in RELAYED])
def test_a_relayed_path_goes_to_its_own_server(
    gateway: Gateway, fleet: Fleet, path: str, upstream: str, group: str, body: dict[str, Any]
) -> None:
    with gateway.client() as client:
        answer = client.post(f"{path}?beta=true", json=body)
    assert answer.status_code == 200, answer.text
    (row,) = fleet["chat0" if group == "chat" else group].ledger()
    assert row["path"] == upstream
    assert row["request_id"] == answer.headers["x-request-id"]
    assert fleet.requests() == 1


@pytest.mark.parametrize(
    "target",
    [
        "/pause",
        "/metrics",
        "/invocations",
        "/v1",
        "/v1/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/chat%2Fcompletions",
        "/v1/chat/../chat/completions",
        "/v1/%63hat/completions",
        "/v1/x/%2e%2e/chat/completions",
        "/v1/audio/speech",
        "/rerank",
        "/tokenize",
        "/v1/load_lora_adapter",
        "/admin/v1/keys",
        "/" + "a" * 5000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_not_on_the_list_is_404_and_reaches_no_backend(
    gateway: Gateway, fleet: Fleet, method: str, target: str
) -> None:
    with RawClient(gateway.port) as client:
        client.send(
            f"{method} {target} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 2\r\n"
            "Connection: close\r\n\r\n{}".encode()
        )
        received = client.rest()
    assert received.startswith(b"HTTP/1.1 404 ")
    assert b'"code":"not_found"' in received
    assert fleet.requests() == 0


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/chat/completions"), ("POST", "/v1/models"), ("PUT", "/health")]
)
def test_another_method_is_405_and_names_the_right_one(gateway: Gateway, method: str, path: str) -> None:
    with gateway.client() as client:
        answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert answer.headers["allow"] in {"POST", "GET, HEAD"}


def test_the_backend_sees_its_own_key_and_nothing_that_the_client_wrote_in_headers(
    gateway: Gateway, fleet: Fleet
) -> None:
    headers = {
        "x-request-id": "mine",
        "x-api-key": "sk-secret",
        "cookie": "session=1",
        "te": "trailers",
        "x-vllm-priority": "9",
        "x-forwarded-for": "198.51.100.7",
        "upgrade": "h2c",
        "connection": "upgrade, x-drop",
        "x-drop": "1",
    }
    with gateway.client() as client:
        answer = client.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert answer.status_code == 200
    (row,) = fleet["chat0"].ledger()
    assert row["request_id"] == answer.headers["x-request-id"] != "mine"
    seen = {name.lower(): value for name, value in row["headers"]}
    assert seen.pop("authorization") == f"Bearer {BACKEND_KEY}"
    assert set(seen) <= {"host", "content-length", "content-type", "x-request-id", "accept-encoding"}
    assert gateway.access_line(answer.headers["x-request-id"])["client_request_id"] == "mine"


@pytest.mark.parametrize("value", ["x" * 200, "two words", 'quote"d'])
def test_a_request_id_that_could_forge_a_log_line_is_ignored(gateway: Gateway, value: str) -> None:
    with gateway.client() as client:
        answer = client.get("/v1/models", headers={"x-request-id": value})
    assert gateway.access_line(answer.headers["x-request-id"])["client_request_id"] is None


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-api-key": KEY}])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/health/detailed"])
def test_without_a_key_there_is_one_and_the_same_401(
    gateway: Gateway, fleet: Fleet, path: str, headers: dict[str, str]
) -> None:
    method = "POST" if path.endswith("completions") else "GET"
    with gateway.client() as client:
        del client.headers["authorization"]
        answer = client.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": {
            "message": "Missing or incorrect API key. Send a valid one as `Authorization: Bearer <key>`.",
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }
    assert fleet.requests() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'"text"',
        b'{"messages": [}',
        b'{"a": NaN}',
        b'{"model": "\\ud800"}',
        b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b"\xff\xfe{}",
    ],
    ids=["empty", "words", "list", "string", "cut", "nan", "surrogate", "deep", "utf16"],
)
def test_a_body_that_is_no_json_object_is_400(gateway: Gateway, fleet: Fleet, body: bytes) -> None:
    with gateway.client() as client:
        answer = client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"
    assert fleet.requests() == 0


def test_a_body_over_the_bound_is_413_before_it_is_read(gateway: Gateway, fleet: Fleet) -> None:
    with RawClient(gateway.port) as client:
        client.send(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n"
            "Content-Length: 10485761\r\n\r\n".encode()
        )
        received = client.rest()
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"request_too_large"' in received
    assert fleet.requests() == 0


def test_a_chunked_body_is_413_at_the_bound(gateway: Gateway, fleet: Fleet) -> None:
    with RawClient(gateway.port) as client:
        client.send(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        while not client.readable(0) and sent < 400:
            client.send(chunk)
            sent += 1
        received = client.until(b"}}")
    assert received.startswith(b"HTTP/1.1 413 ")
    assert 160 <= sent < 400
    assert fleet.requests() == 0


def test_a_compressed_body_is_415(gateway: Gateway) -> None:
    with gateway.client() as client:
        answer = client.post("/v1/chat/completions", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415


def test_made_up_paths_and_models_add_no_metric_series(gateway: Gateway) -> None:
    def ask(number: int) -> None:
        with gateway.client() as client:
            client.get(f"/made/up/{number}")
            client.post("/v1/chat/completions", json={**CHAT, "model": f"made-up-{number}"})

    ask(0)
    wait_until(lambda: 'gateway_usage_records_total{fate="lost"}' in gateway.metrics())  # the control process is there

    def series() -> set[str]:
        # What an organization of an earlier test uses is shown up to a second later: the control process writes it.
        return {name for name in gateway.metrics() if not name.startswith("gateway_organization_")}

    before = series()
    for number in range(1, 60):
        ask(number)
    assert series() - before == set()
