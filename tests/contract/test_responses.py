"""What does /v1/responses answer, whole and as typed events?"""

from typing import Any

import pytest

from tests.contract.answers import CONTEXT_TOKENS, TOO_LONG, error, identifier, invalid, no_such_model, refused
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.shapes import assert_shape, either

PATH = "/v1/responses"
BODY: dict[str, Any] = {"model": "qwen", "input": "hi", "max_output_tokens": 16}

USAGE = {
    "input_tokens": int,
    "input_tokens_details": {
        "cached_tokens": int,
        "cache_write_tokens": 0,
        "input_tokens_per_turn": (),
        "cached_tokens_per_turn": (),
    },
    "output_tokens": int,
    "output_tokens_details": {
        "reasoning_tokens": 0,
        "tool_output_tokens": 0,
        "output_tokens_per_turn": (),
        "tool_output_tokens_per_turn": (),
    },
    "total_tokens": int,
}
PART = {"annotations": (), "text": str, "type": "output_text", "logprobs": None}
ITEM = {
    "id": identifier("msg_"),
    "content": (PART,),
    "role": "assistant",
    "status": "completed",
    "type": "message",
    "phase": None,
}
INCOMPLETE = {
    "id": identifier("resp_"),
    "created_at": int,
    "incomplete_details": {"reason": "max_output_tokens"},
    "instructions": None,
    "metadata": None,
    "model": "qwen",
    "object": "response",
    "output": (ITEM,),
    "parallel_tool_calls": True,
    "temperature": float,
    "tool_choice": "none",
    "tools": (),
    "top_p": float,
    "background": False,
    "max_output_tokens": 16,
    "max_tool_calls": None,
    "previous_response_id": None,
    "prompt": None,
    "reasoning": None,
    "service_tier": "auto",
    "status": "incomplete",
    "text": None,
    "top_logprobs": None,
    "truncation": "disabled",
    "usage": USAGE,
    "user": None,
    "presence_penalty": float,
    "frequency_penalty": float,
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "input_messages": None,
    "output_messages": None,
}
BEGUN = INCOMPLETE | {"incomplete_details": None, "output": (), "status": "in_progress", "usage": None}
OPEN_ITEM = ITEM | {"content": (), "status": "in_progress"}
AT = {"content_index": 0, "item_id": identifier("msg_"), "output_index": 0}

OPENING: list[tuple[str, dict[str, Any]]] = [
    ("response.created", {"response": BEGUN}),
    ("response.in_progress", {"response": BEGUN}),
    ("response.output_item.added", {"item": OPEN_ITEM, "output_index": 0}),
    ("response.content_part.added", AT | {"part": PART | {"text": "", "logprobs": ()}}),
]
DELTA = ("response.output_text.delta", AT | {"delta": str, "logprobs": ()})
CLOSING: list[tuple[str, dict[str, Any]]] = [
    ("response.output_text.done", AT | {"text": str, "logprobs": ()}),
    ("response.content_part.done", AT | {"part": PART}),
    ("response.output_item.done", {"item": ITEM, "output_index": 0}),
    ("response.completed", {"response": INCOMPLETE}),
]
UNKNOWN_RESPONSE = error(404, "invalid_request_error", "Response with id 'resp_x' not found.", "response_id")


@against("chat")
def test_a_whole_answer(server: Server) -> None:
    answer = server.post(PATH, BODY).json()
    assert_shape(answer, INCOMPLETE)
    usage = answer["usage"]
    assert (usage["output_tokens"], usage["total_tokens"]) == (16, usage["input_tokens"] + 16)


@against("chat")
@pytest.mark.parametrize(
    "given",
    [[{"role": "user", "content": "hi"}], [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]],
    ids=["texts", "parts"],
)
def test_the_input_may_be_messages(server: Server, given: list[Any]) -> None:
    assert_shape(server.post(PATH, BODY | {"input": given}).json(), INCOMPLETE)


@against("chat")
def test_a_stream_is_typed_events_in_order_and_has_no_done(server: Server) -> None:
    found = server.events(PATH, BODY)
    deltas = len(found) - len(OPENING) - len(CLOSING)
    assert deltas >= 1
    expected = [*OPENING, *[DELTA] * deltas, *CLOSING]
    assert [event.name for event in found] == [name for name, _ in expected]
    for number, (event, (name, shape)) in enumerate(zip(found, expected, strict=True)):
        assert_shape(event.data, shape | {"type": name, "sequence_number": number})


@against("chat")
def test_a_streams_deltas_are_its_text_and_its_id_stays(server: Server) -> None:
    found = server.events(PATH, BODY)
    text = "".join(event.data["delta"] for event in found if event.name == DELTA[0])
    assert found[-1].data["response"]["output"][0]["content"][0]["text"] == text
    assert found[-1].data["response"]["id"] == found[0].data["response"]["id"]


@against("chat")
def test_a_request_id_does_not_become_the_response_id(server: Server) -> None:
    answer = server.post(PATH, BODY, {"x-request-id": "mine"})
    assert_shape(answer.json()["id"], identifier("resp_"))
    assert answer.headers["x-request-id"] == "mine"


@against("chat")
def test_the_bodys_request_id_becomes_the_response_id_as_it_is(server: Server) -> None:
    answer = server.post(PATH, BODY | {"request_id": "mine"}, {"x-request-id": "other"})
    assert answer.json()["id"] == "mine"


@against("bare")
@pytest.mark.parametrize(
    "choice", [{}, {"tool_choice": "required"}, {"tool_choice": {"type": "function", "name": "w"}}]
)
def test_without_a_parser_tools_are_taken_here_and_never_called(server: Server, choice: dict[str, Any]) -> None:
    tools = [{"type": "function", "name": "w", "parameters": {"type": "object"}}]
    answer = server.post(PATH, BODY | {"tools": tools} | choice)
    assert answer.status_code == 200
    assert [item["type"] for item in answer.json()["output"]] == ["message"]


@against("chat")
def test_store_is_accepted_but_nothing_is_kept(server: Server) -> None:
    kept = server.post(PATH, BODY | {"store": True}).json()
    assert server.get(f"{PATH}/{kept['id']}").status_code == 404


@against("chat")
def test_an_unknown_response_is_404(server: Server) -> None:
    answer = server.get(f"{PATH}/resp_x")
    assert (answer.status_code, answer.json()) == (404, UNKNOWN_RESPONSE)
    answer = server.post(PATH, BODY | {"previous_response_id": "resp_x"})
    assert (answer.status_code, answer.json()) == (404, UNKNOWN_RESPONSE)


@against("chat")
def test_background_is_refused(server: Server) -> None:
    answer = server.post(PATH, BODY | {"background": True})
    assert answer.status_code == 400
    assert_shape(answer.json(), error(400, "invalid_request_error", str, "background"))


@against("chat")
@pytest.mark.parametrize("stream", [{}, {"stream": True}], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        (
            {"max_output_tokens": 0},
            refused("max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)", "max_tokens"),
        ),
        (
            {"max_output_tokens": 8193},
            refused(
                "max_output_tokens=8193 cannot be greater than max_model_len=8192. Please request fewer output tokens. "
                "(parameter=max_output_tokens, value=8193)",
                "max_output_tokens",
            ),
        ),
        ({"input": []}, refused(str, None)),
        ({"input": TOO_LONG}, refused(CONTEXT_TOKENS, "input_tokens")),
        ({"max_output_tokens": "x"}, invalid("body.max_output_tokens")),
        ({"input": None}, invalid("body.input")),
        ({"input": 5}, invalid("body.input")),
    ],
)
def test_what_is_refused(server: Server, stream: dict[str, bool], fields: dict[str, Any], shape: Any) -> None:
    answer = server.post(PATH, BODY | stream | fields)
    assert answer.status_code == 400
    assert_shape(answer.json(), shape)


@against("chat")
def test_the_input_is_required(server: Server) -> None:
    assert_shape(server.post(PATH, {"model": "qwen"}).json(), invalid("body.input"))


@against("chat")
def test_a_lone_surrogate_in_a_known_field_is_400(server: Server) -> None:
    answer = server.post(PATH, b'{"model":"qwen","input":"hi","max_output_tokens":2,"user":"\\ud800"}')
    assert answer.status_code == 400
    assert_shape(answer.json(), refused(str, None))


@against("chat")
def test_an_unknown_model_is_404(server: Server) -> None:
    answer = server.post(PATH, BODY | {"model": "nope"})
    assert (answer.status_code, answer.json()) == (404, no_such_model("qwen"))


@against("chat")
def test_without_a_model_the_servers_own_answers(server: Server) -> None:
    answer = server.post(PATH, {"input": "hi", "max_output_tokens": 1})
    assert_shape(answer.json(), INCOMPLETE | {"max_output_tokens": 1, "output": either((ITEM,), ())})
