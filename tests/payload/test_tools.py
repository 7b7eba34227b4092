"""Tools that nobody could call, or that are none, are refused with the place of what is wrong."""

from typing import Any

import orjson
import pytest

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadRequestError, UnsupportedFeatureError
from gateway.payload.tools import MAX_DEPTH, MAX_TOOLS, MAX_TOOLS_BYTES, check_tools

OPENAI, RESPONSES, ANTHROPIC = Dialect.OPENAI, Dialect.RESPONSES, Dialect.ANTHROPIC
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def tool(dialect: Dialect = OPENAI, name: Any = "weather", schema: Any = SCHEMA) -> dict[str, Any]:
    if dialect is OPENAI:
        return {"type": "function", "function": {"name": name, "parameters": schema}}
    if dialect is RESPONSES:
        return {"type": "function", "name": name, "parameters": schema}
    return {"name": name, "input_schema": schema}


def check(tools: Any, dialect: Dialect = OPENAI, parser: str = "hermes", **more: Any) -> None:
    check_tools(orjson.dumps({"tools": tools, **more}), dialect, parser=parser, model="qwen")


def place(tools: Any, dialect: Dialect = OPENAI) -> str | None:
    with pytest.raises(BadRequestError) as refusal:
        check(tools, dialect)
    return refusal.value.param


@pytest.mark.parametrize("dialect", [OPENAI, RESPONSES, ANTHROPIC])
def test_sound_tools_pass_where_there_is_a_parser_and_nowhere_else(dialect: Dialect) -> None:
    check([tool(dialect), tool(dialect, "other", None)], dialect)
    with pytest.raises(UnsupportedFeatureError, match=r"`qwen` cannot call tools.*tool_choice") as refusal:
        check([tool(dialect)], dialect, parser="")
    assert (refusal.value.status, refusal.value.param) == (400, "tools")


@pytest.mark.parametrize(("choice", "dialect"), [("none", OPENAI), ("none", RESPONSES), ({"type": "none"}, ANTHROPIC)])
def test_whoever_rules_calls_out_needs_no_parser(choice: Any, dialect: Dialect) -> None:
    check([tool(dialect)], dialect, parser="", tool_choice=choice)


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "weather"}}, None, 1])
def test_any_other_choice_needs_one(choice: Any) -> None:
    with pytest.raises(UnsupportedFeatureError):
        check([tool()], parser="", tool_choice=choice)


def test_no_tools_need_nothing() -> None:
    for body in (b"{}", b'{"tools":null}', b'{"tools":[ ]}', b'{"tools":[{}],"tools":[]}'):
        check_tools(body, OPENAI, parser="", model="qwen")


@pytest.mark.parametrize(
    ("dialect", "inside", "schema"),
    [(OPENAI, ".function", "parameters"), (RESPONSES, "", "parameters"), (ANTHROPIC, "", "input_schema")],
)
def test_what_is_wrong_is_named_by_its_place(dialect: Dialect, inside: str, schema: str) -> None:
    good = tool(dialect)
    at = f"tools[1]{inside}"
    for name in (None, "", "two words", "é", "x" * 129, 3):
        assert place([good, tool(dialect, name)], dialect) == f"{at}.name"
    assert place([good, tool(dialect, "b", [])], dialect) == f"{at}.{schema}"
    assert place([good, tool(dialect, "b", {"type": "string"})], dialect) == f"{at}.{schema}.type"
    assert place([good, tool(dialect, "b", {"properties": []})], dialect) == f"{at}.{schema}.properties"
    assert place([good, good], dialect) == "tools[1]"
    assert place([good, 1], dialect) == "tools[1]"
    assert place({"a": 1}, dialect) == "tools"


def test_another_type_than_function_is_no_chat_tool_and_the_servers_own_elsewhere() -> None:
    assert place([{"type": "web_search"}]) == "tools[0].type"
    assert place([{"type": "function"}]) == "tools[0].function"
    check([{"type": "web_search"}], RESPONSES)
    check([{"type": "web_search_20250305", "name": "web_search"}], ANTHROPIC)


def test_number_size_and_depth_are_bounded() -> None:
    check([tool(name=f"t{number}") for number in range(MAX_TOOLS)])
    assert place([tool(name=f"t{number}") for number in range(MAX_TOOLS + 1)]) == "tools"
    assert place([tool(schema={"description": "x" * MAX_TOOLS_BYTES})]) == "tools"

    def nested(levels: int) -> Any:
        schema: Any = {}
        for _ in range(levels - 1):
            schema = {"items": schema}
        return schema

    check([tool(schema=nested(MAX_DEPTH))])
    assert place([tool(schema=nested(MAX_DEPTH + 1))]) == "tools[0].function.parameters"
