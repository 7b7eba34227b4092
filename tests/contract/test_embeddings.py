"""What does /v1/embeddings answer in each of its encodings, and what does it refuse?"""

import base64
import math
import struct
from typing import Any

import msgspec
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

PATH = "/v1/embeddings"
BODY: dict[str, Any] = {"model": "arctic", "input": "hello world"}
ROW = {"index": int, "object": "embedding", "embedding": [float]}
EMBEDDINGS = {
    "id": identifier("embd-"),
    "object": "list",
    "created": int,
    "model": "arctic",
    "data": (ROW,),
    "usage": USAGE_DETAILED | {"completion_tokens": 0},
}


def vectors(server: Server, **fields: Any) -> list[list[float]]:
    """The vectors of one answer, in order."""
    answer = server.post(PATH, BODY | fields)
    assert answer.status_code == 200, answer.text
    return [row["embedding"] for row in answer.json()["data"]]


@against("embed")
def test_a_text_becomes_a_vector_of_length_one(server: Server) -> None:
    answer = server.post(PATH, BODY).json()
    assert_shape(answer, EMBEDDINGS)
    assert math.hypot(*answer["data"][0]["embedding"]) == pytest.approx(1.0, abs=1e-3)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0


@against("embed")
@pytest.mark.parametrize(
    "given", [["hello world", "a"], [[71, 72], [73]], ["", "a"]], ids=["texts", "token ids", "an empty text"]
)
def test_each_input_has_its_row_in_order(server: Server, given: list[Any]) -> None:
    answer = server.post(PATH, BODY | {"input": given}).json()
    assert_shape(answer, EMBEDDINGS | {"data": (ROW, ROW)})
    assert [row["index"] for row in answer["data"]] == [0, 1]


@against("embed")
@pytest.mark.parametrize("given", [[71, 72], ""], ids=["one prompt of token ids", "an empty text"])
def test_some_inputs_are_one_prompt(server: Server, given: Any) -> None:
    assert len(vectors(server, input=given)) == 1


@against("embed")
def test_equal_texts_have_equal_vectors(server: Server) -> None:
    first, second = vectors(server, input=["hello world", "hello world"])
    assert first == pytest.approx(second, abs=1e-5)


@against("embed")
def test_base64_holds_the_same_floats_little_endian(server: Server) -> None:
    answer = server.post(PATH, BODY | {"encoding_format": "base64"}).json()
    assert_shape(answer, EMBEDDINGS | {"data": (ROW | {"embedding": str},)})
    raw = base64.b64decode(answer["data"][0]["embedding"])
    (floats,) = vectors(server)
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(floats, abs=1e-5)


@against("embed")
def test_bytes_come_with_their_metadata_in_a_header(server: Server) -> None:
    answer = server.post(PATH, BODY | {"encoding_format": "bytes"})
    assert answer.headers["content-type"] == "application/octet-stream"
    metadata = msgspec.json.decode(answer.headers["metadata"])
    assert metadata["data"][0]["end"] == len(answer.content)
    assert set(metadata) == {"id", "created", "model", "data", "usage"}


@against("embed")
def test_bytes_only_come_alone(server: Server) -> None:
    answer = server.post(PATH, BODY | {"encoding_format": "bytes_only"})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "metadata" not in answer.headers
    (floats,) = vectors(server)
    assert len(answer.content) == 4 * len(floats)


@against("embed")
@pytest.mark.parametrize(
    "fields",
    [
        {"dimensions": None},
        {"user": "u"},
        {"priority": 3},
        {"cache_salt": "abc"},
        {"stream": True},
        {"model": None},
        {"input": TOO_LONG, "truncate_prompt_tokens": -1},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_accepted(server: Server, fields: dict[str, Any]) -> None:
    answer = server.post(PATH, BODY | fields)
    assert answer.status_code == 200
    assert_shape(answer.json(), EMBEDDINGS)


@against("embed")
@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"input": []}, refused("You must pass at least one prompt")),
        (
            {"dimensions": 8},
            refused(
                "Model 'arctic' does not support Matryoshka embeddings; "
                "dimensions must be unset (received dimensions=8)."
            ),
        ),
        (
            {"cache_salt": ""},
            refused(
                "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)", "cache_salt"
            ),
        ),
        ({"input": TOO_LONG}, refused(CONTEXT_TOKENS, "input_tokens")),
        ({"input": 5}, error(400, "Bad Request", INVALID, "body.input")),
        ({"input": None}, error(400, "Bad Request", INVALID, "body.input")),
        ({"encoding_format": "bogus"}, error(400, "Bad Request", INVALID, "body.encoding_format")),
        ({"dimensions": "x"}, error(400, "Bad Request", INVALID, "body.dimensions")),
    ],
)
def test_what_is_refused(server: Server, fields: dict[str, Any], shape: Any) -> None:
    answer = server.post(PATH, BODY | fields)
    assert answer.status_code == 400
    assert_shape(answer.json(), shape)


@against("embed")
def test_the_input_is_required(server: Server) -> None:
    assert_shape(server.post(PATH, {"model": "arctic"}).json(), error(400, "Bad Request", INVALID, "body.input"))


@against("embed")
def test_an_unknown_model_is_404_without_a_param(server: Server) -> None:
    answer = server.post(PATH, BODY | {"model": "nope"})
    assert (answer.status_code, answer.json()) == (404, NO_SUCH_POOLING_MODEL)
