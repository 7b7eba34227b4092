"""In which order and with which spacing are answers written? A relay that scans bytes instead of parsing needs it."""

from typing import Any

import orjson
import pytest

from tests.contract.answers import MESSAGES
from tests.contract.roles import against
from tests.contract.server import Server

CHAT: dict[str, Any] = {"model": "qwen", "messages": MESSAGES, "max_tokens": 8}
COMPLETION: dict[str, Any] = {"model": "qwen", "prompt": "hi", "max_tokens": 8}
COUNTED = {"include_usage": True, "continuous_usage_stats": True}
HEAD = "id object created model choices"


def payloads(server: Server, path: str, body: dict[str, Any]) -> list[bytes]:
    """What stands behind each `data: ` of a stream, as it was sent, without the closing `[DONE]`."""
    lines = server.post(path, body | {"stream": True}).content.split(b"\n")
    found = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    return [payload for payload in found if payload != b"[DONE]"]


def orders(server: Server, path: str, body: dict[str, Any]) -> list[str]:
    """The keys of each event in their order, equal neighbours once."""
    found = [" ".join(orjson.loads(payload)) for payload in payloads(server, path, body)]
    return [order for index, order in enumerate(found) if index == 0 or order != found[index - 1]]


@against("chat")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", CHAT | {"stream_options": COUNTED}),
        ("/v1/completions", COMPLETION | {"stream_options": COUNTED}),
        ("/v1/messages", CHAT),
    ],
)
def test_events_are_compact_json_in_plain_utf_8(server: Server, path: str, body: dict[str, Any]) -> None:
    sent = payloads(server, path, body)
    assert sent == [orjson.dumps(orjson.loads(payload)) for payload in sent]


@against("chat")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, [f"{HEAD} prompt_token_ids prompt_text", HEAD, f"{HEAD} system_fingerprint"]),
        (
            {"include_usage": True},
            [f"{HEAD} prompt_token_ids prompt_text", HEAD, f"{HEAD} usage system_fingerprint"],
        ),
        (COUNTED, [f"{HEAD} usage prompt_token_ids prompt_text", f"{HEAD} usage", f"{HEAD} usage system_fingerprint"]),
    ],
    ids=["no usage", "usage", "continuous usage"],
)
def test_the_keys_of_chat_chunks_keep_their_order(server: Server, options: Any, expected: list[str]) -> None:
    assert orders(server, "/v1/chat/completions", CHAT | {"stream_options": options}) == expected


@against("chat")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, [HEAD, f"{HEAD} system_fingerprint"]),
        ({"include_usage": True}, [HEAD, f"{HEAD} usage system_fingerprint"]),
        (COUNTED, [f"{HEAD} usage", f"{HEAD} usage system_fingerprint"]),
    ],
    ids=["no usage", "usage", "continuous usage"],
)
def test_the_keys_of_completion_chunks_keep_their_order(server: Server, options: Any, expected: list[str]) -> None:
    assert orders(server, "/v1/completions", COMPLETION | {"stream_options": options}) == expected


@against("chat")
def test_the_keys_inside_a_chat_chunk_keep_their_order(server: Server) -> None:
    role, *texts, finish = (orjson.loads(payload) for payload in payloads(server, "/v1/chat/completions", CHAT))
    assert " ".join(role["choices"][0]) == "index delta logprobs finish_reason"
    assert " ".join(role["choices"][0]["delta"]) == "role content"
    assert {" ".join(text["choices"][0]) for text in texts} == {"index delta logprobs finish_reason token_ids"}
    assert " ".join(finish["choices"][0]) == "index delta logprobs finish_reason stop_reason token_ids"


@against("chat")
def test_the_keys_of_usage_keep_their_order(server: Server) -> None:
    role, *_, last = payloads(server, "/v1/chat/completions", CHAT | {"stream_options": COUNTED})
    tokens = "prompt_tokens total_tokens completion_tokens"
    assert " ".join(orjson.loads(role)["usage"]) == f"{tokens} completion_tokens_details"
    assert " ".join(orjson.loads(last)["usage"]) == tokens


@against("chat")
def test_typed_events_write_their_type_first_or_last(server: Server) -> None:
    start, *_ = payloads(server, "/v1/messages", CHAT)
    assert start.startswith(b'{"type":"message_start","message":{"id":"chatcmpl-')
    created, *_, completed = payloads(server, "/v1/responses", {"model": "qwen", "input": "hi", "max_output_tokens": 8})
    assert created.startswith(b'{"response":{"id":"resp_')
    assert created.endswith(b',"sequence_number":0,"type":"response.created"}')
    assert completed.endswith(b',"type":"response.completed"}')


CHAT_KEYS = (
    "id object created model choices service_tier system_fingerprint usage "
    "prompt_logprobs prompt_token_ids prompt_text kv_transfer_params ec_transfer_params metrics"
)
COMPLETION_KEYS = (
    "id object created model choices service_tier system_fingerprint usage "
    "kv_transfer_params ec_transfer_params metrics"
)
RESPONSE_START = "id created_at incomplete_details instructions metadata model object output "


@against("chat")
@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/chat/completions", CHAT, CHAT_KEYS),
        ("/v1/completions", COMPLETION, COMPLETION_KEYS),
        ("/v1/messages", CHAT, "id type role content model stop_reason usage"),
    ],
)
def test_the_keys_of_a_generated_answer_keep_their_order(
    server: Server, path: str, body: dict[str, Any], expected: str
) -> None:
    assert " ".join(orjson.loads(server.post(path, body).content)) == expected


@against("chat")
def test_a_response_names_its_model_before_its_output(server: Server) -> None:
    answer = server.post("/v1/responses", {"model": "qwen", "input": "hi", "max_output_tokens": 8})
    assert " ".join(orjson.loads(answer.content)).startswith(RESPONSE_START)


@against("embed")
def test_the_keys_of_embeddings_keep_their_order(server: Server) -> None:
    answer = orjson.loads(server.post("/v1/embeddings", {"input": "a"}).content)
    assert " ".join(answer) == "id object created model data usage"
    assert " ".join(answer["data"][0]) == "index object embedding"


@against("rerank")
def test_the_keys_of_ranks_and_scores_keep_their_order(server: Server) -> None:
    ranked = orjson.loads(server.post("/rerank", {"query": "a", "documents": ["b"]}).content)
    scored = orjson.loads(server.post("/score", {"text_1": "a", "text_2": "b"}).content)
    assert " ".join(ranked) == "id model usage results"
    assert " ".join(ranked["results"][0]) == "index document relevance_score"
    assert " ".join(scored) == "id object created model data usage"


@against("chat", "embed", "rerank")
def test_errors_are_written_compact_and_in_order(server: Server) -> None:
    answer = server.post("/tokenize", {"prompt": "a", "model": "nope"})
    assert answer.status_code == 404
    assert answer.content.startswith(b'{"error":{"message":"The model `nope` does not exist.')
    assert " ".join(orjson.loads(answer.content)["error"]) == "message type param code"
