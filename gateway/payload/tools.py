"""May these tools be called? A request's tool definitions, judged before a GPU is touched."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.core.endpoint import Dialect
from gateway.core.errors import BadRequestError, UnsupportedFeatureError
from gateway.payload.lists import as_bytes

MAX_TOOLS: Final = 128
"""OpenAI's bound."""
MAX_TOOLS_BYTES: Final = 262_144
"""Of all definitions together, which every prompt repeats: some 60,000 tokens."""
MAX_DEPTH: Final = 32
"""Objects and lists inside each other, in the parameters of one tool."""
NAME: Final = {
    Dialect.OPENAI: re.compile(r"[A-Za-z0-9_-]{1,64}"),
    Dialect.RESPONSES: re.compile(r"[A-Za-z0-9_-]{1,64}"),
    Dialect.ANTHROPIC: re.compile(r"[A-Za-z0-9_-]{1,128}"),
}
"""The names that each dialect's own service takes."""
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
    """Refuse tools that the model cannot call, and definitions that are none.

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
    if not parser and not _calls_none(as_bytes(said.tool_choice)):
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
    if len(definitions) > MAX_TOOLS:
        raise BadRequestError(f"'tools' may hold {MAX_TOOLS} definitions at the most.", param="tools")
    names: set[str] = set()
    for place, definition in enumerate(definitions):
        name = _check(definition, f"tools[{place}]", dialect)
        if name in names:
            raise BadRequestError(f"Two tools are named `{name}`.", param=f"tools[{place}]")
        if name:
            names.add(name)


def _calls_none(text: bytes) -> bool:
    """Whether a `tool_choice` rules calls out: `"none"`, or Anthropic's object of that type."""
    if text[:1] == b'"':
        return text == b'"none"'
    try:
        return text[:1] == b"{" and _kind(text).type == "none"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _check(definition: object, place: str, dialect: Dialect) -> str:
    """The name of a tool whose definition is sound; empty for one that vLLM itself has."""
    if not isinstance(definition, dict):
        raise BadRequestError(f"'{place}' must be an object.", param=place)
    kind = definition.get("type")
    schema = "parameters"
    if dialect is Dialect.ANTHROPIC:
        if kind not in {None, "custom"}:
            return ""  # a tool of the server's own, which has no schema
        schema = "input_schema"
    elif dialect is Dialect.RESPONSES:
        if kind != "function":
            return ""
    else:
        if kind not in {None, "function"}:
            raise BadRequestError(f"'{place}.type' must be \"function\".", param=f"{place}.type")
        place = f"{place}.function"
        definition = definition.get("function")
        if not isinstance(definition, dict):
            raise BadRequestError(f"'{place}' must be an object.", param=place)
    name = definition.get("name")
    if not isinstance(name, str) or not NAME[dialect].fullmatch(name):
        limit = 128 if dialect is Dialect.ANTHROPIC else 64
        message = f"'{place}.name' must be 1 to {limit} letters, digits, underscores and dashes."
        raise BadRequestError(message, param=f"{place}.name")
    _check_schema(definition, schema, f"{place}.{schema}")
    return name


def _check_schema(definition: Mapping[str, Any], member: str, place: str) -> None:
    schema = definition.get(member)
    if schema is None:
        return
    if not isinstance(schema, dict):
        raise BadRequestError(f"'{place}' must be an object: a JSON schema.", param=place)
    if schema.get("type", "object") != "object":
        raise BadRequestError(f"'{place}.type' must be \"object\".", param=f"{place}.type")
    if not isinstance(schema.get("properties", {}), dict):
        raise BadRequestError(f"'{place}.properties' must be an object.", param=f"{place}.properties")
    if _is_deep(schema):
        raise BadRequestError(f"'{place}' may nest {MAX_DEPTH} levels at the most.", param=place)


def _is_deep(schema: object) -> bool:
    """Whether it nests too deeply; a level at a time, so that nothing recurses."""
    level = [schema]
    for _ in range(MAX_DEPTH):
        nested = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
        level = [inner for inner in nested if isinstance(inner, dict | list)]
        if not level:
            return False
    return True
