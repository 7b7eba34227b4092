"""Which tool does the model call, and with what? And values that fit a JSON schema, for tools and response formats."""

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.simulator.content.words import keywords, stem, words

_OPEN, _CLOSE = "<tool_call>\n", "\n</tool_call>"
_MAX_DEPTH = 8


def best_tool(question: str, tools: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """The index of the tool (name, description) that shares most words with the question, and how many it shares."""
    asked = {stem(word) for word in keywords(question, 64)}
    shared = [len(asked & {stem(word) for word in words(f"{name.replace('_', ' ')} {text}")}) for name, text in tools]
    best = max(range(len(tools)), key=lambda index: shared[index])
    return best, shared[best]


def hermes(name: str, parameters: Mapping[str, Any] | None, question: str) -> str:
    """The call as a Hermes model writes it."""
    arguments = value_for(parameters or {"type": "object"}, question, "arguments")
    call = {"name": name, "arguments": arguments if isinstance(arguments, dict) else {}}
    return _OPEN + spaced_json(call) + _CLOSE


def spaced_json(value: object) -> str:
    """JSON with a blank after each colon and comma, as the model was trained to write it."""
    if isinstance(value, dict):
        inner = ", ".join(f"{spaced_json(key)}: {spaced_json(item)}" for key, item in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(spaced_json, value)) + "]"
    return orjson.dumps(value).decode()


def value_for(schema: object, question: str, name: str = "", depth: int = 0) -> Any:  # noqa: ANN401 -- any JSON value
    """A value that fits the schema, with the question's own words and numbers where they can stand.

    It is null for `true`, and for what is no schema at all.
    """
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    if "const" in schema:
        return schema["const"]
    if choices := _listed(schema, "enum"):
        return _from_enum(choices, question)
    for union in ("anyOf", "oneOf", "allOf"):
        if parts := _listed(schema, union):
            return value_for(parts[0], question, name, depth + 1)
    return _typed(schema, question, name, depth)


def _listed(schema: Mapping[str, Any], key: str) -> list[Any]:
    found = schema.get(key)
    return found if isinstance(found, list) else []


def _typed(schema: Mapping[str, Any], question: str, name: str, depth: int) -> Any:  # noqa: ANN401 -- any JSON value
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    if kind == "object":
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        return {key: value_for(part, question, key, depth + 1) for key, part in properties.items()}
    if kind == "array":
        return [value_for(schema.get("items") or {"type": "string"}, question, name, depth + 1)]
    return _scalar(str(kind), question, name)


def _from_enum(choices: Sequence[Any], question: str) -> Any:  # noqa: ANN401 -- any JSON value
    asked = set(words(question))
    return next((choice for choice in choices if str(choice).lower() in asked), choices[0])


def _scalar(kind: str, question: str, name: str) -> Any:  # noqa: ANN401 -- any JSON value
    if kind in ("integer", "number"):
        found = re.search(r"-?\d+(?:\.\d+)?", question)
        number = float(found[0]) if found else float(zlib.crc32(name.encode()) % 100)
        return int(number) if kind == "integer" else number
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    capitalised = re.findall(r"(?<!^)(?<![.?!] )\b[A-Z]\w+(?: [A-Z]\w+)*", question)
    return capitalised[0] if capitalised else " ".join(keywords(question, 2)) or name
