"""What is no conversation and no schema is refused or passed over, and never breaks the server that it is sent to."""

from typing import Any

import pytest

from tests.simulator.clients import CHAT, post
from tests.support.simulators import Simulator

RESPONSES = "/v1/responses"
ASKED = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("calls", ["x", [[]], [None], [5], {"type": "function"}], ids=repr)
def test_tool_calls_that_are_no_list_of_calls_are_400(chat: Simulator, calls: object) -> None:
    message = {"role": "assistant", "content": "", "tool_calls": calls}
    assert post(chat, {"messages": [message]}, CHAT).status_code == 400


@pytest.mark.parametrize("part", [[], None, 5])
def test_a_part_of_a_response_that_is_none_is_400(chat: Simulator, part: object) -> None:
    assert post(chat, {"input": [{"role": "user", "content": [part]}]}, RESPONSES).status_code == 400


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": 5},
        {"type": "object", "properties": {"a": True}},
        {"type": []},
        {"enum": 5},
        {"anyOf": {"a": 1}},
        {"type": "array", "items": [1]},
    ],
    ids=repr,
)
def test_what_is_no_schema_is_fitted_by_something(chat: Simulator, schema: dict[str, Any]) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert post(chat, {**ASKED, "response_format": form}, CHAT).status_code == 200
