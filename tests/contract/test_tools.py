"""When does a chat server call tools, and what does a call look like, whole and in chunks?

A model with random weights calls nothing of its own accord: `required` and a named function force the call's envelope,
and `strict` with an enumeration forces its arguments.
"""

from typing import Any

import msgspec
import pytest

from tests.contract.answers import MESSAGES, TEXT_OR_NOTHING, identifier, refused
from tests.contract.chat_shapes import CHOICE, COMPLETION, HEAD, MESSAGE, ROLE_CHUNK, SIGNED
from tests.contract.events import DONE
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.shapes import assert_shape, either

PATH = "/v1/chat/completions"
CITIES = ["Paris", "Rome"]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": CITIES}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
STRICT = {"type": "function", "function": {**WEATHER["function"], "strict": True}}  # type: ignore[dict-item]  # a dict
NAMED = {"type": "function", "function": {"name": "get_weather"}}
BODY: dict[str, Any] = {
    "model": "qwen",
    "messages": MESSAGES,
    "max_tokens": 200,
    "tools": [STRICT],
    "parallel_tool_calls": False,
    # With these and a seed, the random model's calls are complete each time.
    "temperature": 2.0,
    "top_k": 0,
    "top_p": 1.0,
    "seed": 1,
}
CALL = {
    "id": identifier("chatcmpl-tool-"),
    "type": "function",
    "function": {"name": "get_weather", "arguments": str},
}
CALLING = CHOICE | {"message": MESSAGE | {"content": "", "tool_calls": (CALL,)}}
OPENING = {"id": identifier("chatcmpl-tool-"), "type": "function", "index": 0, "function": {"name": "get_weather"}}
ARGUMENTS = {"index": 0, "function": {"arguments": str}}


def chunk(delta: Any) -> dict[str, Any]:
    """A chunk with this delta before the finish."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, "token_ids": None}
    return HEAD | {"choices": (choice,)}


@against("chat")
@pytest.mark.parametrize(("choice", "reason"), [("required", "tool_calls"), (NAMED, "stop")], ids=["required", "named"])
def test_a_forced_call_is_complete_and_named_calls_finish_with_stop(server: Server, choice: Any, reason: str) -> None:
    answer = server.post(PATH, BODY | {"tool_choice": choice}).json()
    assert_shape(answer, COMPLETION | {"choices": (CALLING | {"finish_reason": reason},)})
    arguments = answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert msgspec.json.decode(arguments)["city"] in CITIES


@against("chat")
@pytest.mark.parametrize(("choice", "reason"), [("required", "tool_calls"), (NAMED, "stop")], ids=["required", "named"])
def test_a_streamed_call_names_the_function_then_gives_its_arguments(server: Server, choice: Any, reason: str) -> None:
    *found, done = server.events(PATH, BODY | {"tool_choice": choice})
    role, opening, *arguments, finish = [event.data for event in found]
    assert done.data == DONE
    assert_shape(role, ROLE_CHUNK)
    assert_shape(opening, chunk({"content": None, "tool_calls": (OPENING,)}))
    assert_shape(arguments, [chunk({"content": None, "tool_calls": (ARGUMENTS,)})])
    ended = {"index": 0, "logprobs": None, "finish_reason": reason, "stop_reason": None, "token_ids": None}
    # A real server whose loop is busy puts the last of the arguments into the same chunk.
    deltas: tuple[Any, ...] = ({}, {"content": None, "tool_calls": (ARGUMENTS,)})
    assert_shape(finish, HEAD | SIGNED | {"choices": (either(*(ended | {"delta": delta} for delta in deltas)),)})


@against("chat")
def test_a_streamed_calls_arguments_join_to_json(server: Server) -> None:
    found = server.events(PATH, BODY | {"tool_choice": "required"})[1:-2]
    calls = [event.data["choices"][0]["delta"]["tool_calls"][0]["function"] for event in found]
    arguments = "".join(call.get("arguments", "") for call in calls)
    assert msgspec.json.decode(arguments)["city"] in CITIES


@against("chat")
def test_a_call_cut_short_comes_back_as_its_raw_text(server: Server) -> None:
    answer = server.post(PATH, BODY | {"tool_choice": "required", "max_tokens": 5}).json()
    assert_shape(answer, COMPLETION | {"choices": (CHOICE,)})
    assert answer["choices"][0]["message"]["content"].startswith("<tool_call>")


@against("chat")
@pytest.mark.parametrize(
    "fields",
    [{}, {"tool_choice": None}, {"tool_choice": "none"}, {"tool_choice": "none", "tools": None}],
)
def test_tools_without_a_forced_call_are_accepted(server: Server, fields: dict[str, Any]) -> None:
    answer = server.post(PATH, BODY | {"max_tokens": 4} | fields)
    assert (answer.status_code, answer.json()["object"]) == (200, "chat.completion")


@against("chat")
def test_a_tools_answer_may_stand_in_the_conversation(server: Server) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}
    turns = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call-1", "content": "sunny"},
    ]
    assert server.post(PATH, BODY | {"messages": turns, "max_tokens": 4}).status_code == 200


NO_TOOLS = "When using `tool_choice`, `tools` must be set. (parameter=tool_choice)"
MISMATCH = "The tool specified in `tool_choice` does not match any of the specified `tools` (parameter=tool_choice)"
BOGUS = (
    'Invalid value for `tool_choice`: bogus! Only named tools, "none", "auto" or "required" are supported. '
    "(parameter=tool_choice)"
)
EMPTY = (
    "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely. (parameter=tools)"
)


@against("chat")
@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"tools": None, "tool_choice": "auto"}, NO_TOOLS, "tool_choice"),
        ({"tools": None, "tool_choice": "required"}, NO_TOOLS, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "nope"}}}, MISMATCH, "tool_choice"),
        ({"tool_choice": "bogus"}, BOGUS, "tool_choice"),
        ({"tools": []}, EMPTY, "tools"),
    ],
)
def test_what_is_refused(server: Server, fields: dict[str, Any], message: str, param: str) -> None:
    answer = server.post(PATH, BODY | fields)
    assert (answer.status_code, answer.json()) == (400, refused(message, param))


@against("bare")
@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        (
            {"tool_choice": "auto"},
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        ),
        ({"tool_choice": "required"}, 'tool_choice="required" requires --tool-call-parser to be set'),
        ({"tool_choice": NAMED}, 'tool_choice=function "get_weather" requires --tool-call-parser to be set'),
    ],
    ids=["absent", "auto", "required", "named"],
)
def test_without_the_flags_tools_are_refused(server: Server, choice: dict[str, Any], message: str) -> None:
    answer = server.post(PATH, BODY | choice)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


@against("bare")
def test_without_the_flags_tool_choice_none_is_served(server: Server) -> None:
    answer = server.post(PATH, BODY | {"tool_choice": "none", "max_tokens": 4})
    assert answer.status_code == 200
    assert_shape(answer.json()["choices"][0]["message"], MESSAGE)


@against("chat")
def test_a_stream_of_text_with_tools_present_is_plain_text(server: Server) -> None:
    role, *texts, _finish, done = server.events(PATH, BODY | {"max_tokens": 6, "tool_choice": "none"})
    assert_shape(role.data, ROLE_CHUNK)
    assert_shape([event.data for event in texts], [chunk(TEXT_OR_NOTHING)])
    assert done.data == DONE
