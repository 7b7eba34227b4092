"""Tools that nobody could call, or that are none, are refused with the place of what is wrong."""

from typing import Any

import orjson
import pytest

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadRequestError, UnsupportedFeatureError
from gateway.payload.tools import MAX_DEPTH, MAX_STRICT_DEPTH, MAX_TOOLS_BYTES, check_tools

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
    check([tool(dialect), tool(dialect, "other", {})], dialect)
    with pytest.raises(UnsupportedFeatureError, match=r"`qwen` cannot call tools.*tool_choice") as refusal:
        check([tool(dialect)], dialect, parser="")
    assert (refusal.value.status, refusal.value.param) == (400, "tools")


@pytest.mark.parametrize(("choice", "dialect"), [("none", OPENAI), ("none", RESPONSES), ({"type": "none"}, ANTHROPIC)])
def test_whoever_rules_calls_out_needs_no_parser(choice: Any, dialect: Dialect) -> None:
    check([tool(dialect)], dialect, parser="", tool_choice=choice)
    with pytest.raises(UnsupportedFeatureError):
        check([tool(dialect)], dialect, parser="")


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "weather"}}, None, 1])
def test_any_other_choice_needs_one(choice: Any) -> None:
    with pytest.raises(UnsupportedFeatureError):
        check([tool()], parser="", tool_choice=choice)


def test_no_tools_need_nothing() -> None:
    for body in (b"{}", b'{"tools":null}', b'{"tools":[ ]}', b'{"tools":[{}],"tools":[]}'):
        check_tools(body, OPENAI, parser="", model="qwen")
    with pytest.raises(UnsupportedFeatureError):
        check_tools(b'{"tools":[{}]}', OPENAI, parser="", model="qwen")


@pytest.mark.parametrize(
    ("dialect", "inside", "schema"),
    [(OPENAI, ".function", "parameters"), (RESPONSES, "", "parameters"), (ANTHROPIC, "", "input_schema")],
)
def test_what_is_wrong_is_named_by_its_place(dialect: Dialect, inside: str, schema: str) -> None:
    good = tool(dialect)
    at = f"tools[1]{inside}"
    for name in (None, 3, ["a"]):
        assert place([good, tool(dialect, name)], dialect) == f"{at}.name"
    no_schemas: tuple[Any, ...] = ([], "text", True)
    for no_schema in no_schemas:
        assert place([good, tool(dialect, "b", no_schema)], dialect) == f"{at}.{schema}"
    assert place([good, 1], dialect) == "tools[1]"
    assert place({"a": 1}, dialect) == "tools"


@pytest.mark.parametrize("dialect", [OPENAI, RESPONSES, ANTHROPIC])
def test_what_vllm_runs_is_not_refused(dialect: Dialect) -> None:
    for name in ("mcp.server/tool", "two words", "é", "x" * 200, ""):
        check([tool(dialect, name)], dialect)
    for schema in ({"type": ["object", "null"]}, {"type": None}, {"type": "array"}, {"properties": None}, {}):
        check([tool(dialect, "b", schema)], dialect)
    check([tool(dialect), tool(dialect)], dialect)
    check([tool(dialect, f"t{number}") for number in range(500)], dialect)


@pytest.mark.parametrize(
    ("dialect", "inside", "member"),
    [(OPENAI, ".function", "parameters"), (RESPONSES, "", "parameters"), (ANTHROPIC, "", "input_schema")],
)
def test_a_schema_that_becomes_a_grammar_must_be_one(dialect: Dialect, inside: str, member: str) -> None:
    def strict(schema: Any) -> Any:
        definition = tool(dialect, "b", schema)
        (definition["function"] if dialect is OPENAI else definition)["strict"] = True
        return definition

    at = f"tools[0]{inside}.{member}"
    for sound in (
        {},
        SCHEMA,
        {"type": ["object", "null"]},
        {"type": "string"},
        {"$ref": "#"},
        nested(MAX_STRICT_DEPTH),
    ):
        check([strict(sound)], dialect)
    kinds: tuple[Any, ...] = (None, "wizard", 5, ["object", "wizard"], [[]])
    for kind in kinds:
        assert place([strict({"type": kind})], dialect) == f"{at}.type"
    assert place([strict({"properties": None})], dialect) == f"{at}.properties"
    assert place([strict(nested(MAX_STRICT_DEPTH + 1))], dialect) == at
    nobody: Any = {"type": "none"} if dialect is ANTHROPIC else "none"
    check([strict({"type": None})], dialect, tool_choice=nobody)


@pytest.mark.parametrize(
    ("dialect", "inside", "member"),
    [(OPENAI, ".function", "parameters"), (RESPONSES, "", "parameters"), (ANTHROPIC, "", "input_schema")],
)
def test_a_slip_deep_in_a_schema_is_named_by_its_place_strict_or_not(
    dialect: Dialect, inside: str, member: str
) -> None:
    schema = {"type": "object", "properties": {"days": {"type": "array", "items": {"type": "int"}}}}
    assert place([tool(dialect, "b", schema)], dialect) == f"tools[0]{inside}.{member}.properties.days.items.type"
    assert place([tool(dialect, "b", {"type": "nonsense"})], dialect) == f"tools[0]{inside}.{member}.type"
    with pytest.raises(BadRequestError, match=r"type' must be a type of JSON schema \(object, array, string, number,"):
        check([tool(dialect, "b", {"type": "nonsense"})], dialect)


def test_no_schema_is_one_that_takes_nothing_but_for_messages_which_have_no_tools_of_the_servers_own() -> None:
    check([tool(OPENAI, schema=None)])
    check([tool(RESPONSES, schema=None)], RESPONSES)
    check([{"type": "web_search_20250305", "name": "web_search", "input_schema": {}}], ANTHROPIC)
    for own in (
        {"type": "web_search_20250305", "name": "web_search"},
        {"name": "w"},
        {"name": "w", "input_schema": None},
    ):
        assert place([own], ANTHROPIC) == "tools[0].input_schema"


def test_another_type_than_function_is_no_chat_tool_and_the_servers_own_in_responses() -> None:
    assert place([{"type": "web_search"}]) == "tools[0].type"
    assert place([{"type": "function"}]) == "tools[0].function"
    check([{"function": {"name": "w"}}])
    check([{"type": "web_search"}], RESPONSES)
    assert place([{"name": "w"}], RESPONSES) == "tools[0].type"


def nested(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return schema


def test_size_and_depth_are_bounded() -> None:
    assert place([tool(schema={"description": "x" * MAX_TOOLS_BYTES})]) == "tools"
    check([tool(schema=nested(MAX_DEPTH))])
    assert place([tool(schema=nested(MAX_DEPTH + 1))]) == "tools[0].function.parameters"
