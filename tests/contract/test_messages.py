"""What do /v1/messages and its token count answer, in Anthropic's dialect?"""

from typing import Any

import pytest

from tests.contract.answers import CONTEXT_TOKENS, MESSAGES, TOO_LONG, anthropic_error, identifier, invalid
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.shapes import assert_shape

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
BODY: dict[str, Any] = {"model": "qwen", "messages": MESSAGES, "max_tokens": 16}
USAGE = {"input_tokens": int, "output_tokens": int}
MESSAGE = {
    "id": identifier("chatcmpl-"),
    "type": "message",
    "role": "assistant",
    "content": ({"type": "text", "text": str},),
    "model": "qwen",
    "stop_reason": "max_tokens",
    "usage": USAGE,
}
BEGUN = MESSAGE | {"content": (), "stop_reason": None, "stop_sequence": None}
OPENING: list[tuple[str, dict[str, Any]]] = [
    ("message_start", {"message": BEGUN}),
    ("content_block_start", {"content_block": {"type": "text", "text": ""}, "index": 0}),
]
DELTA = ("content_block_delta", {"delta": {"type": "text_delta", "text": str}, "index": 0})
CLOSING: list[tuple[str, dict[str, Any]]] = [
    ("content_block_stop", {"index": 0}),
    ("message_delta", {"delta": {"stop_reason": "max_tokens", "stop_sequence": None}, "usage": USAGE}),
    ("message_stop", {}),
]
NO_SUCH_MODEL = anthropic_error("NotFoundError", "The model `nope` does not exist. Valid aliases: qwen.")


@against("chat")
def test_a_whole_answer(server: Server) -> None:
    answer = server.post(PATH, BODY).json()
    assert_shape(answer, MESSAGE)
    assert answer["usage"]["output_tokens"] == 16


@against("chat")
def test_a_stop_sequence_is_named(server: Server) -> None:
    answer = server.post(PATH, BODY | {"max_tokens": 400, "stop_sequences": [" "]}).json()
    assert_shape(answer, MESSAGE | {"stop_reason": "stop_sequence", "stop_sequence": " "})


@against("chat")
def test_a_stream_is_typed_events_in_order_and_has_no_done(server: Server) -> None:
    found = server.events(PATH, BODY)
    deltas = len(found) - len(OPENING) - len(CLOSING)
    assert deltas >= 1
    expected = [*OPENING, *[DELTA] * deltas, *CLOSING]
    assert [event.name for event in found] == [name for name, _ in expected]
    for event, (name, shape) in zip(found, expected, strict=True):
        assert_shape(event.data, shape | {"type": name})


@against("chat")
def test_a_streams_usage_is_counted_at_both_ends(server: Server) -> None:
    found = server.events(PATH, BODY)
    start, end = found[0].data["message"]["usage"], found[-2].data["usage"]
    assert (start["output_tokens"], end["output_tokens"]) == (0, 16)
    assert start["input_tokens"] == end["input_tokens"] > 0


@against("chat")
@pytest.mark.parametrize(
    "fields",
    [
        {"system": "be brief"},
        {"system": [{"type": "text", "text": "be brief"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"metadata": {"user_id": "u"}, "temperature": 0.5, "top_p": 0.9, "top_k": 5},
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}], "max_tokens": 4},
    ],
)
def test_what_is_accepted(server: Server, fields: dict[str, Any]) -> None:
    answer = server.post(PATH, BODY | fields)
    assert (answer.status_code, answer.json()["type"]) == (200, "message")


@against("chat")
@pytest.mark.parametrize("stream", [{}, {"stream": True}], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -1}, "temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)"),
        (
            {"max_tokens": 8193},
            (
                "max_completion_tokens=8193 cannot be greater than max_model_len=8192. "
                "Please request fewer output tokens. (parameter=max_completion_tokens, value=8193)"
            ),
        ),
        ({"messages": []}, "Cannot apply chat template to an empty conversation. Provide at least one message."),
        ({"messages": [{"role": "user", "content": TOO_LONG}]}, CONTEXT_TOKENS),
    ],
)
def test_what_the_handler_refuses_speaks_anthropic(
    server: Server, stream: dict[str, bool], fields: dict[str, Any], message: Any
) -> None:
    answer = server.post(PATH, BODY | stream | fields)
    assert answer.status_code == 400
    assert_shape(answer.json(), anthropic_error("BadRequestError", message))


@against("chat")
@pytest.mark.parametrize("stream", [{}, {"stream": True}], ids=["whole", "streamed"])
def test_an_unknown_model_is_404_in_anthropics_envelope(server: Server, stream: dict[str, bool]) -> None:
    answer = server.post(PATH, BODY | stream | {"model": "nope"})
    assert (answer.status_code, answer.json()) == (404, NO_SUCH_MODEL)


@against("chat")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": MESSAGES, "max_tokens": 2}, "body.model"),
        ({"model": "qwen", "max_tokens": 2}, "body.messages"),
        ({"model": "qwen", "messages": MESSAGES}, "body.max_tokens"),
        (BODY | {"max_tokens": 0}, "body.max_tokens"),
        (BODY | {"max_tokens": "x"}, "body.max_tokens"),
        (BODY | {"stream": "x"}, "body.stream"),
    ],
)
def test_what_validation_refuses_speaks_openai(server: Server, body: dict[str, Any], param: str) -> None:
    answer = server.post(PATH, body)
    assert answer.status_code == 400
    assert_shape(answer.json(), invalid(param))


@against("chat")
@pytest.mark.parametrize(
    "fields",
    [{}, {"system": "be brief"}, {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]}],
)
def test_tokens_are_counted(server: Server, fields: dict[str, Any]) -> None:
    counted = server.post(COUNT, {"model": "qwen", "messages": MESSAGES} | fields).json()
    assert_shape(counted, {"input_tokens": int, "context_management": {"original_input_tokens": int}})
    assert counted["input_tokens"] == counted["context_management"]["original_input_tokens"] > 0


@against("chat")
def test_the_count_is_what_the_message_then_uses(server: Server) -> None:
    counted = server.post(COUNT, {"model": "qwen", "messages": MESSAGES}).json()
    assert server.post(PATH, BODY).json()["usage"]["input_tokens"] == counted["input_tokens"]


@against("chat")
@pytest.mark.parametrize(
    ("body", "status", "shape"),
    [
        ({"model": "qwen"}, 400, invalid("body.messages")),
        ({"model": "nope", "messages": MESSAGES}, 404, NO_SUCH_MODEL),
        ({"model": "qwen", "messages": []}, 400, anthropic_error("BadRequestError", str)),
    ],
)
def test_what_the_count_refuses(server: Server, body: dict[str, Any], status: int, shape: Any) -> None:
    answer = server.post(COUNT, body)
    assert answer.status_code == status
    assert_shape(answer.json(), shape)
