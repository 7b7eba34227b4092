"""What do /rerank and /score answer on their several paths, and what do they refuse?"""

from typing import Any

import pytest

from tests.contract.answers import (
    CONTEXT_TOKENS,
    INVALID,
    NO_SUCH_POOLING_MODEL,
    TOO_LONG,
    USAGE_DETAILED,
    error,
    identifier,
    refused,
)
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.shapes import assert_shape

RERANK_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")
SCORE_PATHS = ("/score", "/v1/score")
RERANK: dict[str, Any] = {"query": "weather in Rome", "documents": ["the price list", "Rome has weather", ""]}
SCORE: dict[str, Any] = {"text_1": "weather in Rome", "text_2": ["the price list", "Rome has weather"]}
RESULT = {"index": int, "document": {"text": str, "multi_modal": None}, "relevance_score": float}
RESULTS = {
    "id": identifier("score-"),
    "model": str,
    "usage": {"prompt_tokens": int, "total_tokens": int},
    "results": (RESULT, RESULT, RESULT),
}
ROW = {"index": int, "object": "score", "score": float}
SCORES = {
    "id": identifier("score-"),
    "object": "list",
    "created": int,
    "model": str,
    "data": (ROW, ROW),
    "usage": USAGE_DETAILED | {"completion_tokens": 0},
}
NO_PAIR = refused("At least one text_pair element must be given")
LENGTHS = refused("Input lengths must be either 1:1, 1:N or N:N")


@against("rerank", "embed")
@pytest.mark.parametrize("path", RERANK_PATHS)
def test_documents_come_back_sorted_by_their_relevance(server: Server, path: str) -> None:
    answer = server.post(path, RERANK | {"model": server.model}).json()
    assert_shape(answer, RESULTS | {"model": server.model})
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {result["index"]: result["document"]["text"] for result in answer["results"]} == dict(
        enumerate(RERANK["documents"])
    )


@against("rerank")
def test_a_rerankers_scores_are_probabilities_unless_asked_raw(server: Server) -> None:
    activated = server.post("/rerank", RERANK).json()["results"]
    assert all(0 <= result["relevance_score"] <= 1 for result in activated)
    raw = server.post("/rerank", RERANK | {"use_activation": False}).json()["results"]
    assert [result["index"] for result in raw] == [result["index"] for result in activated]
    assert [result["relevance_score"] for result in raw] != [result["relevance_score"] for result in activated]


@against("rerank")
@pytest.mark.parametrize(("top_n", "expected"), [(1, 1), (2, 2), (0, 3), (9, 3)])
def test_top_n_cuts_and_zero_means_all(server: Server, top_n: int, expected: int) -> None:
    everything = server.post("/rerank", RERANK).json()["results"]
    cut = server.post("/rerank", RERANK | {"top_n": top_n}).json()["results"]
    assert [result["index"] for result in cut] == [result["index"] for result in everything][:expected]


@against("rerank")
@pytest.mark.parametrize(
    "fields", [{"documents": "one text"}, {"query": ""}, {"return_documents": False}, {"model": None}, {"priority": 3}]
)
def test_what_rerank_accepts(server: Server, fields: dict[str, Any]) -> None:
    answer = server.post("/rerank", RERANK | fields)
    assert answer.status_code == 200
    assert_shape(answer.json()["results"], [RESULT])


@against("rerank")
def test_documents_can_be_truncated(server: Server) -> None:
    answer = server.post("/rerank", {"query": "a", "documents": [TOO_LONG], "truncate_prompt_tokens": 100})
    assert answer.json()["usage"]["prompt_tokens"] == 100


@against("rerank")
@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"documents": []}, NO_PAIR),
        ({"documents": [TOO_LONG]}, refused(CONTEXT_TOKENS, "input_tokens")),
        ({"top_n": -1}, error(400, "Bad Request", INVALID, "body.top_n")),
        ({"top_n": None}, error(400, "Bad Request", INVALID, "body.top_n")),
        ({"documents": [{"text": "a"}]}, error(400, "Bad Request", INVALID, "body.documents")),
        ({"documents": ["a", 5]}, error(400, "Bad Request", INVALID, "body.documents")),
        ({"query": 5}, error(400, "Bad Request", INVALID, "body.query")),
        ({"query": None}, error(400, "Bad Request", INVALID, "body.query")),
    ],
)
def test_what_rerank_refuses(server: Server, fields: dict[str, Any], shape: Any) -> None:
    answer = server.post("/rerank", RERANK | fields)
    assert answer.status_code == 400
    assert_shape(answer.json(), shape)


@against("rerank")
@pytest.mark.parametrize(("missing", "param"), [("query", "body.query"), ("documents", "body.documents")])
def test_both_parts_of_a_rerank_are_required(server: Server, missing: str, param: str) -> None:
    body = {key: value for key, value in RERANK.items() if key != missing}
    assert_shape(server.post("/rerank", body).json(), error(400, "Bad Request", INVALID, param))


@against("rerank", "embed")
@pytest.mark.parametrize("path", SCORE_PATHS)
def test_scores_keep_the_order_of_their_texts(server: Server, path: str) -> None:
    answer = server.post(path, SCORE | {"model": server.model}).json()
    assert_shape(answer, SCORES | {"model": server.model})
    assert [row["index"] for row in answer["data"]] == [0, 1]


@against("rerank")
@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        ({"text_1": "a", "text_2": "b"}, 1),
        ({"text_1": ["a", "b"], "text_2": ["c", "d"]}, 2),
        ({"text_1": "a", "text_2": ["c", "d", "e"]}, 3),
        ({"queries": "a", "documents": ["c", "d"]}, 2),
        ({"data_1": "a", "data_2": "b"}, 1),
    ],
)
def test_texts_are_paired(server: Server, body: dict[str, Any], pairs: int) -> None:
    assert len(server.post("/score", body).json()["data"]) == pairs


@against("rerank")
def test_score_and_rerank_agree(server: Server) -> None:
    scores = [row["score"] for row in server.post("/score", SCORE).json()["data"]]
    ranked = server.post("/rerank", {"query": SCORE["text_1"], "documents": SCORE["text_2"]}).json()["results"]
    by_index = sorted(ranked, key=lambda result: int(result["index"]))
    assert [result["relevance_score"] for result in by_index] == pytest.approx(scores, abs=1e-4)


@against("rerank")
@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ({"text_1": ["a", "b"], "text_2": ["c", "d", "e"]}, LENGTHS),
        ({"text_1": ["a", "b"], "text_2": ["c"]}, LENGTHS),
        ({"text_1": "a", "text_2": []}, NO_PAIR),
        ({"text_1": "a"}, error(400, "Bad Request", INVALID, "body.queries")),
        ({}, error(400, "Bad Request", INVALID, "body.queries")),
    ],
)
def test_what_score_refuses(server: Server, body: dict[str, Any], shape: Any) -> None:
    answer = server.post("/score", body)
    assert answer.status_code == 400
    assert_shape(answer.json(), shape)


@against("rerank")
@pytest.mark.parametrize(("path", "body"), [("/rerank", RERANK), ("/score", SCORE)])
def test_an_unknown_model_is_404_without_a_param(server: Server, path: str, body: dict[str, Any]) -> None:
    answer = server.post(path, body | {"model": "nope"})
    assert (answer.status_code, answer.json()) == (404, NO_SUCH_POOLING_MODEL)


@against("rerank")
def test_a_reranker_classifies(server: Server) -> None:
    row = {"index": 0, "label": "LABEL_0", "probs": [float], "num_classes": 1}
    answer = server.post("/classify", {"input": "a"}).json()
    shape = SCORES | {"id": identifier("classify-"), "model": "reranker", "data": (row,)}
    assert_shape(answer, shape)


@against("rerank", "embed")
def test_pooling_gives_the_raw_output(server: Server) -> None:
    row = {"index": 0, "object": "pooling", "data": [float]}
    answer = server.post("/pooling", {"input": "a"}).json()
    assert_shape(answer, SCORES | {"id": identifier("pooling-"), "model": server.model, "data": (row,)})
