"""Tools that no model could call are refused before a backend hears of them; sound ones reach it."""

from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.gateway import wait_until

MESSAGES = [{"role": "user", "content": "Is it warm in Rome?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def asked(path: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A request with one tool of that schema, in the words of its path."""
    body = {"model": "qwen", "max_tokens": 4}
    if path == "/v1/messages":
        return {**body, "messages": MESSAGES, "tools": [{"name": "weather", "input_schema": schema}]}
    if path == "/v1/responses":
        tool = {"type": "function", "name": "weather", "parameters": schema}
        return {"model": "qwen", "max_output_tokens": 4, "input": "Is it warm in Rome?", "tools": [tool]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    return {**body, "messages": MESSAGES, "tools": [tool]}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v1/chat/completions", "tools[0].function.parameters"),
        ("/v1/responses", "tools[0].parameters"),
        ("/v1/messages", "tools[0].input_schema"),
    ],
)
def test_a_slip_in_a_schema_is_a_400_that_names_its_place_and_costs_no_gpu(
    chat_fleet: Fleet, make_gateway: MakeGateway, path: str, place: str
) -> None:
    gateway = make_gateway(chat_fleet, CHAT_TOOL_PARSER="hermes")
    wait_until(gateway.well)
    with gateway.client() as client:
        refused = client.post(path, json=asked(path, {"type": "nonsense"}))
        deep = {**SCHEMA, "properties": {"days": {"type": "array", "items": {"type": "int"}}}}
        below = client.post(path, json=asked(path, deep))
        assert chat_fleet.requests() == 0
        assert client.post(path, json=asked(path, SCHEMA)).status_code == 200
    assert (refused.status_code, below.status_code) == (400, 400)
    assert f"'{place}.type' must be a type of JSON schema" in refused.json()["error"]["message"]
    assert f"'{place}.properties.days.items.type' must be" in below.json()["error"]["message"]
    assert chat_fleet.requests() == 1
