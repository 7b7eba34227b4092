"""May these tools be called? A request's tool definitions, judged before a GPU is touched."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadRequestError, UnsupportedFeatureError
from gateway.payload.json_schema import fault_of
from gateway.payload.lists import as_bytes

MAX_TOOLS_BYTES: Final = 262_144
"""Of all definitions together, which every prompt repeats: some 60,000 tokens."""
MAX_DEPTH: Final = 200
"""Objects and lists inside each other, in the parameters of one tool. vLLM 0.32.0 runs 200, and refuses 260 where a
call is required, in words that nobody understands."""
MAX_STRICT_DEPTH: Final = 64
"""The same where the calls are held to the schema, which vLLM then makes a grammar of; its own bound."""
NO_TOOLS: Final = (b"null", b"[]")


class _Body(Struct):
    tools: Raw | UnsetType = UNSET
    tool_choice: Raw | UnsetType = UNSET


class _Kind(Struct):
    type: str = ""


_body = msgspec.json.Decoder(_Body).decode
_kind = msgspec.json.Decoder(_Kind).decode
_tools = msgspec.json.Decoder(list[Any]).decode


def check_tools(body: bytes, dialect: Dialect, *, parser: str, model: str) -> None:
    """Refuse tools that the model cannot call, and definitions that vLLM would not take, in clearer words.

    What vLLM 0.32.0 runs is not refused, whatever other services think of it: names of any length and signs, two tools
    of one name, hundreds of tools. But for one thing: parameters must be a JSON schema. vLLM hands any object on to the
    model, unless calls are held to it (`strict`), and a slip in a type would be paid for and never told.

    Args:
        body: where they stand, as `peek` accepted it.
        dialect: how they are spelled.
        parser: vLLM's name of what reads the model's calls; empty: nothing does.
        model: as the client calls it.

    Raises:
        UnsupportedFeatureError: the model has no parser, and may call them.
        BadRequestError: a definition is at fault, and `param` names its place.
    """
    said = _body(body)
    tools = as_bytes(said.tools)
    if not tools or tools in NO_TOOLS or tools.translate(None, b" \t\r\n") in NO_TOOLS:
        return
    may_call = not _calls_none(as_bytes(said.tool_choice))
    if may_call and not parser:
        raise UnsupportedFeatureError(
            f"The model `{model}` cannot call tools: its servers have no tool-call parser. Leave `tools` out, or set "
            '`tool_choice` to "none".',
            param="tools",
        )
    if len(tools) > MAX_TOOLS_BYTES:
        raise BadRequestError(f"'tools' may have {MAX_TOOLS_BYTES} bytes at the most.", param="tools")
    try:
        definitions = _tools(tools)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequestError("'tools' must be a list of objects of valid text.", param="tools") from None
    for place, definition in enumerate(definitions):
        _check(definition, f"tools[{place}]", dialect, may_call=may_call)


def _calls_none(text: bytes) -> bool:
    """Whether a `tool_choice` rules calls out: `"none"`, or Anthropic's object of that type."""
    if text[:1] == b'"':
        return text == b'"none"'
    try:
        return text[:1] == b"{" and _kind(text).type == "none"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


class _Function(NamedTuple):
    """What a definition says of a function, and where."""

    said: dict[str, Any]
    place: str
    schema: str
    """The member that says what it takes."""


def _of_messages(tool: dict[str, Any], place: str) -> _Function | None:
    if not isinstance(tool.get("input_schema"), dict):
        message = f"'{place}.input_schema' must be an object: a JSON schema. The servers have no tools of their own."
        raise BadRequestError(message, param=f"{place}.input_schema")
    return _Function(tool, place, "input_schema")


def _of_responses(tool: dict[str, Any], place: str) -> _Function | None:
    kind = tool.get("type")
    if kind is None:
        raise BadRequestError(f"'{place}.type' must be stated: \"function\".", param=f"{place}.type")
    return _Function(tool, place, "parameters") if kind == "function" else None


def _of_chat(tool: dict[str, Any], place: str) -> _Function | None:
    if tool.get("type", "function") != "function":
        raise BadRequestError(f"'{place}.type' must be \"function\".", param=f"{place}.type")
    said, place = tool.get("function"), f"{place}.function"
    if not isinstance(said, dict):
        raise BadRequestError(f"'{place}' must be an object.", param=place)
    return _Function(said, place, "parameters")


FUNCTION_OF: Final[Mapping[Dialect, Callable[[dict[str, Any], str], _Function | None]]] = {
    Dialect.OPENAI: _of_chat,
    Dialect.RESPONSES: _of_responses,
    Dialect.ANTHROPIC: _of_messages,
}
"""How a dialect says a function; None: a tool that vLLM itself has, as it has some at /v1/responses."""


def _check(tool: object, place: str, dialect: Dialect, *, may_call: bool) -> None:
    if not isinstance(tool, dict):
        raise BadRequestError(f"'{place}' must be an object.", param=place)
    function = FUNCTION_OF[dialect](tool, place)
    if function is None:
        return
    said, place, schema = function
    if not isinstance(said.get("name"), str):
        raise BadRequestError(f"'{place}.name' must be a text.", param=f"{place}.name")
    _check_schema(said.get(schema), f"{place}.{schema}", strict=may_call and said.get("strict") is True)


def _check_schema(schema: object, place: str, *, strict: bool) -> None:
    if schema is None:
        return
    if not isinstance(schema, dict):
        raise BadRequestError(f"'{place}' must be an object: a JSON schema.", param=place)
    bound = MAX_STRICT_DEPTH if strict else MAX_DEPTH
    if _is_deep(schema, bound):
        raise BadRequestError(f"'{place}' may nest {bound} levels at the most.", param=place)
    fault = fault_of(schema) or (_null_in(schema) if strict else None)
    if fault is not None:
        raise BadRequestError(f"'{place}{fault[0]}' {fault[1]}.", param=f"{place}{fault[0]}")


def _null_in(schema: Mapping[str, Any]) -> tuple[str, str] | None:
    """The outermost member of a schema that becomes a grammar which vLLM refuses to take as absent, naming no place."""
    for keyword in ("type", "properties"):
        if schema.get(keyword, ...) is None:
            return f".{keyword}", "must not be null where calls are held to the schema"
    return None


def _is_deep(schema: object, bound: int) -> bool:
    """Whether it nests more deeply; a level at a time, so that nothing recurses."""
    level = [schema]
    for _ in range(bound):
        nested = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
        level = [inner for inner in nested if isinstance(inner, dict | list)]
        if not level:
            return False
    return True
