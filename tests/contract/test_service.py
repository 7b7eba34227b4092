"""What does a server tell about itself: its models, tokens, request ids, load and metrics?"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.answers import MESSAGES, NOT_FOUND, identifier, invalid, no_such_model
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.shapes import assert_shape, either
from tests.contract.wire import request

CHAT: dict[str, Any] = {"model": "qwen", "messages": MESSAGES, "max_tokens": 4}
ENDLESS = b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":8000,"ignore_eos":true%b}'
PERMISSION = {
    "id": identifier("modelperm-"),
    "object": "model_permission",
    "created": int,
    "allow_create_engine": False,
    "allow_sampling": True,
    "allow_logprobs": True,
    "allow_search_indices": False,
    "allow_view": True,
    "allow_fine_tuning": False,
    "organization": "*",
    "group": None,
    "is_blocking": False,
}
MODEL = {
    "id": str,
    "object": "model",
    "created": int,
    "owned_by": "vllm",
    "root": str,
    "parent": None,
    "max_model_len": 8192,
    "permission": (PERMISSION,),
}
GAUGES = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:num_requests_waiting_by_reason",
    "vllm:kv_cache_usage_perc",
)
COUNTERS = (
    "vllm:num_preemptions_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:admission_rejections_total",
    "http_requests_total",
)
HISTOGRAMS = (
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:request_time_per_output_token_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds",
    "vllm:request_prefill_time_seconds",
    "vllm:request_decode_time_seconds",
    "vllm:request_inference_time_seconds",
)


def eventually(condition: Callable[[], bool], within: float = 30.0) -> bool:
    """Whether `condition` came true within so many seconds; asks every 20 ms, which a server's loop does not feel."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@against("chat", "embed", "rerank")
def test_one_model_is_listed(server: Server) -> None:
    assert_shape(server.get("/v1/models").json(), {"object": "list", "data": (MODEL | {"id": server.model},)})


@against("chat")
def test_a_single_model_has_no_page(server: Server) -> None:
    answer = server.get("/v1/models/qwen")
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@against("chat", "embed", "rerank")
def test_texts_are_tokenized(server: Server) -> None:
    answer = server.post("/tokenize", {"prompt": "hello world"}).json()
    assert_shape(answer, {"count": int, "max_model_len": 8192, "tokens": [int], "token_strs": None})
    assert answer["count"] == len(answer["tokens"])


@against("chat")
def test_token_texts_come_when_asked(server: Server) -> None:
    answer = server.post("/tokenize", {"prompt": "hello world", "return_token_strs": True}).json()
    assert_shape(answer["token_strs"], [str])
    assert len(answer["token_strs"]) == answer["count"]


@against("chat")
def test_messages_are_tokenized_as_the_chat_would_count_them(server: Server) -> None:
    counted = server.post("/tokenize", {"messages": MESSAGES}).json()["count"]
    assert server.post("/v1/chat/completions", CHAT).json()["usage"]["prompt_tokens"] == counted


@against("chat")
def test_an_empty_text_has_no_tokens(server: Server) -> None:
    assert server.post("/tokenize", {"prompt": ""}).json()["tokens"] == []


@against("chat")
def test_tokens_turn_back_into_their_text(server: Server) -> None:
    tokens = server.post("/tokenize", {"prompt": "hello world"}).json()["tokens"]
    assert server.post("/detokenize", {"tokens": tokens}).json() == {"prompt": "hello world"}


@against("chat")
@pytest.mark.parametrize(
    ("body", "status", "shape"),
    [
        ({}, 400, invalid("body.prompt")),
        ({"prompt": 5}, 400, invalid("body.prompt")),
        ({"prompt": "a", "model": "nope"}, 404, no_such_model("qwen")),
    ],
)
def test_what_tokenize_refuses(server: Server, body: dict[str, Any], status: int, shape: Any) -> None:
    answer = server.post("/tokenize", body)
    assert answer.status_code == status
    assert_shape(answer.json(), shape)


@pytest.mark.parametrize(
    ("path", "body", "prefix"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 1}, "chatcmpl-"),
        ("/v1/completions", {"prompt": "a", "max_tokens": 1}, "cmpl-"),
        ("/v1/messages", {"model": "qwen", "messages": MESSAGES, "max_tokens": 1}, "chatcmpl-"),
    ],
)
@against("chat", "bare")
def test_the_id_of_a_generated_answer_is_the_request_id(
    server: Server, path: str, body: dict[str, Any], prefix: str
) -> None:
    assert server.post(path, body, {"x-request-id": "mine-7"}).json()["id"] == f"{prefix}mine-7"


@against("embed")
def test_an_embeddings_id_is_the_request_id(server: Server) -> None:
    assert server.post("/v1/embeddings", {"input": "a"}, {"x-request-id": "mine-7"}).json()["id"] == "embd-mine-7"


@against("rerank")
def test_a_reranks_id_is_the_request_id(server: Server) -> None:
    body = {"query": "a", "documents": ["b"]}
    assert server.post("/rerank", body, {"x-request-id": "mine-7"}).json()["id"] == "score-mine-7"


@against("chat")
def test_the_body_may_hold_the_request_id(server: Server) -> None:
    assert server.post("/v1/chat/completions", CHAT | {"request_id": "mine-8"}).json()["id"] == "chatcmpl-mine-8"


@against("chat")
def test_two_requests_may_have_one_id(server: Server) -> None:
    data = server.raw_post("/v1/chat/completions", ENDLESS.replace(b"8000", b"40") % b"", {"x-request-id": "twin"})
    with server.wire() as first, server.wire() as second:
        first.send(data)
        second.send(data)
        answers = [first.answer(), second.answer()]
    assert [answer.status for answer in answers] == [200, 200]
    assert all(b'"id":"chatcmpl-twin"' in answer.body for answer in answers)


@against("chat")
def test_the_headers_request_id_goes_before_the_bodys(server: Server) -> None:
    answer = server.post("/v1/chat/completions", CHAT | {"request_id": "mine-8"}, {"x-request-id": "mine-9"})
    assert answer.json()["id"] == "chatcmpl-mine-9"


@against("chat")
@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/v1/models", 401), ("/health", 200)])
def test_the_request_id_comes_back_on_every_answer(server: Server, path: str, status: int) -> None:
    answer = server.exchange(request("GET", path, headers={"x-request-id": "mine-9"}))
    assert (answer.status, answer.header("x-request-id")) == (status, "mine-9")


@against("chat")
def test_a_request_without_an_id_is_given_one_of_32_digits(server: Server) -> None:
    found = server.exchange(request("GET", "/health")).header("x-request-id")
    assert found is not None
    assert len(found) == 32
    assert int(found, 16) >= 0


@against("bare")
def test_without_the_flag_no_header_tells_the_request_id(server: Server) -> None:
    answer = server.post("/v1/chat/completions", CHAT, {"x-request-id": "mine"})
    assert "x-request-id" not in answer.headers


@against("chat", "embed")
def test_the_metrics_have_vllms_names_types_and_labels(server: Server) -> None:
    answer = server.send("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    kinds = [(GAUGES, "gauge"), (COUNTERS, "counter"), (HISTOGRAMS, "histogram")]
    missing = [name for names, kind in kinds for name in names if f"# TYPE {name} {kind}\n" not in answer.text]
    assert missing == []
    assert f'vllm:num_requests_running{{engine="0",model_name="{server.model}"}} ' in answer.text


@against("chat", "embed")
@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("vllm:num_requests_waiting_by_reason", "reason", {"capacity", "deferred"}),
        ("vllm:request_success_total", "finished_reason", {"stop", "length", "abort", "error", "repetition"}),
        ("vllm:admission_rejections_total", "reason", {"max_num_queued_reqs", "max_num_queued_tokens"}),
    ],
)
def test_labelled_families_have_all_their_series_from_the_start(
    server: Server, name: str, label: str, values: set[str]
) -> None:
    series = server.series(name)
    assert {labels[label] for labels, _ in series} == values
    assert {labels["model_name"] for labels, _ in series} == {server.model}
    assert all(("engine" in labels) == (name != "vllm:admission_rejections_total") for labels, _ in series)


def counters(server: Server) -> dict[str, float]:
    """What a chat answer that ran into its max_tokens counts."""
    return {
        "prompt": server.metric("vllm:prompt_tokens_total"),
        "generated": server.metric("vllm:generation_tokens_total"),
        "finished": server.metric("vllm:request_success_total", finished_reason="length"),
        "latencies": server.metric("vllm:e2e_request_latency_seconds_count"),
        "first tokens": server.metric("vllm:time_to_first_token_seconds_count"),
        "answers": server.metric("http_requests_total", handler="/v1/chat/completions", method="POST", status="2xx"),
    }


@against("chat")
def test_an_answer_moves_the_counters(server: Server) -> None:
    expected = counters(server)
    usage = server.post("/v1/chat/completions", CHAT).json()["usage"]
    expected["prompt"] += usage["prompt_tokens"]
    expected["generated"] += usage["completion_tokens"]
    for once in ("finished", "latencies", "first tokens", "answers"):
        expected[once] += 1
    eventually(lambda: counters(server) == expected)
    assert counters(server) == expected


@against("embed")
def test_an_embedding_moves_the_counters(server: Server) -> None:
    before = server.metric("vllm:prompt_tokens_total")
    tokens = server.post("/v1/embeddings", {"input": "hello"}).json()["usage"]["prompt_tokens"]
    assert eventually(lambda: server.metric("vllm:prompt_tokens_total") - before == tokens)


@against("chat", "embed", "rerank")
def test_an_idle_server_has_no_load(server: Server) -> None:
    assert eventually(lambda: bool(server.send("GET", "/load").json() == {"server_load": 0}))


@against("chat")
@pytest.mark.parametrize("more", [b"", b',"stream":true'], ids=["whole", "streamed"])
def test_a_client_that_leaves_ends_its_request(server: Server, more: bytes) -> None:
    running = "vllm:num_requests_running"
    finished = [server.metric("vllm:request_success_total", finished_reason=reason) for reason in ("length", "abort")]
    with server.wire() as wire:
        wire.send(server.raw_post("/v1/chat/completions", ENDLESS % more))
        assert eventually(lambda: server.metric(running) == 1.0)
        assert server.send("GET", "/load").json() == {"server_load": 1}
    assert eventually(lambda: server.metric(running) == 0.0)
    assert eventually(lambda: bool(server.send("GET", "/load").json() == {"server_load": 0}))
    assert finished == [
        server.metric("vllm:request_success_total", finished_reason=reason) for reason in ("length", "abort")
    ]


@against("chat")
def test_what_exceeds_the_sequences_waits_for_capacity(server: Server) -> None:
    wires = [server.wire() for _ in range(18)]
    try:
        for wire in wires:
            wire.send(server.raw_post("/v1/chat/completions", ENDLESS % b',"stream":true'))
        assert eventually(lambda: server.metric("vllm:num_requests_running") == 16.0)
        assert eventually(lambda: server.metric("vllm:num_requests_waiting") == 2.0)
        assert server.metric("vllm:num_requests_waiting_by_reason", reason="capacity") == 2.0
        assert server.send("GET", "/load").json() == {"server_load": 18}
    finally:
        for wire in wires:
            wire.close()
    assert eventually(lambda: server.metric("vllm:num_requests_running") == 0.0)
    assert eventually(lambda: server.metric("vllm:num_requests_waiting") == 0.0)


@against("bare")
def test_without_the_flag_no_load_is_counted(server: Server) -> None:
    with server.wire() as wire:
        wire.send(server.raw_post("/v1/chat/completions", ENDLESS % b',"stream":true'))
        assert eventually(lambda: server.metric("vllm:num_requests_running") == 1.0)
        assert server.send("GET", "/load").json() == {"server_load": 0}
    assert eventually(lambda: server.metric("vllm:num_requests_running") == 0.0)


@against("chat")
def test_the_openapi_document_lists_the_paths(server: Server) -> None:
    found = server.send("GET", "/openapi.json").json()["paths"]
    paths = {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/models", "/tokenize"}
    assert paths <= found.keys()
    assert_shape(list(found["/v1/chat/completions"]), either(["post"], ("post",)))
