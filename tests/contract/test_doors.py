"""Which paths need the key, and what does a caller without it see?"""

from typing import Any

import pytest

from tests.contract.answers import UNAUTHORIZED
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.wire import request

GUARDED = (
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("GET", "/v1/models"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/rerank"),
    ("POST", "/v2/rerank"),
    ("POST", "/v1/score"),
    ("GET", "/v1/nowhere"),
    ("POST", "/inference/v1/generate"),
    ("POST", "/cohere/nowhere"),
)
INPUT: dict[str, Any] = {"input": "a"}
RERANK: dict[str, Any] = {"query": "a", "documents": ["b"]}
SCORE: dict[str, Any] = {"text_1": "a", "text_2": "b"}
MODELS = "/v1/models"


@against("chat")
@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_guarded_path_without_the_key_is_401(server: Server, method: str, path: str) -> None:
    answer = server.exchange(request(method, path, b"{}" if method == "POST" else None))
    assert (answer.status, answer.body) == (401, b'{"error":"Unauthorized"}')
    names = [name for name, _ in answer.headers]
    assert names == ["date", "server", "content-length", "content-type", "x-request-id"]


@against("chat")
@pytest.mark.parametrize("path", ["/health", "/version", "/load", "/metrics", "/ping", "/openapi.json"])
def test_what_a_server_tells_of_itself_is_open(server: Server, path: str) -> None:
    assert server.send("GET", path).status_code == 200


@against("chat", "embed", "rerank")
def test_tokenizing_is_open(server: Server) -> None:
    assert server.send("POST", "/tokenize", json={"prompt": "a"}).status_code == 200


@against("embed")
@pytest.mark.parametrize(
    ("path", "body"), [("/pooling", INPUT), ("/invocations", INPUT), ("/rerank", RERANK), ("/score", SCORE)]
)
def test_an_embedding_server_infers_without_the_key(server: Server, path: str, body: dict[str, Any]) -> None:
    assert server.send("POST", path, json=body).status_code == 200


@against("rerank")
@pytest.mark.parametrize(
    ("path", "body"), [("/pooling", INPUT), ("/classify", INPUT), ("/rerank", RERANK), ("/score", SCORE)]
)
def test_a_reranker_infers_without_the_key(server: Server, path: str, body: dict[str, Any]) -> None:
    assert server.send("POST", path, json=body).status_code == 200


@against("chat")
def test_invocations_chat_without_the_key(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
    answer = server.send("POST", "/invocations", json=body)
    assert (answer.status_code, answer.json()["object"]) == (200, "chat.completion")


@against("chat")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_case_insensitive(server: Server, scheme: str) -> None:
    assert server.send("GET", MODELS, headers={"authorization": f"{scheme} {server.key}"}).status_code == 200


@against("chat")
@pytest.mark.parametrize("value", ["Basic {}", "Bearer  {}", "Bearer {}x", "{}", "Bearer"])
def test_any_other_value_is_401(server: Server, value: str) -> None:
    answer = server.send("GET", MODELS, headers={"authorization": value.format(server.key)})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


@against("chat")
def test_a_blank_after_the_key_is_401(server: Server) -> None:
    assert server.exchange(request("GET", MODELS, headers={"authorization": f"Bearer {server.key} "})).status == 401


@against("chat")
@pytest.mark.parametrize(("first", "second", "status"), [("{}", "x", 200), ("x", "{}", 401)])
def test_of_two_keys_the_first_counts(server: Server, first: str, second: str, status: int) -> None:
    lines = "".join(f"authorization: Bearer {key.format(server.key)}\r\n" for key in (first, second))
    data = f"GET {MODELS} HTTP/1.1\r\nhost: vllm\r\n{lines}\r\n".encode()
    assert server.exchange(data).status == status


@against("chat")
@pytest.mark.parametrize("path", [MODELS, "/v1/messages"])
def test_x_api_key_opens_nothing(server: Server, path: str) -> None:
    assert server.send("POST", path, headers={"x-api-key": server.key}).status_code == 401
