"""Is this a JSON schema? Its keywords, judged by their values, without a validator and what that would load."""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")

_A_TYPE: Final = f"must be a type of JSON schema ({', '.join(TYPES)}), or a list of those"
_A_SCHEMA: Final = "must be a JSON schema: an object, true or false"

_Place = tuple["_Place", str | int] | None
"""Where something stands: in what, and under which name or number there; None: outermost. It is spelled for a fault
alone: a long name is one text however many schemas stand below it."""

_Placed = tuple[_Place, object]
"""A schema with its place."""


class _Rule(NamedTuple):
    """What a keyword's value has to be, and which schemas stand in it, each with its place."""

    fits: Callable[[Any], bool]
    what: str
    inner: Callable[[_Place, Any], Iterable[_Placed]] | None = None


def fault_of(schema: object) -> tuple[str, str] | None:
    """What draft 2020-12 does not allow in it, nor the older ones that tools are written in; None: nothing.

    Unknown keywords are annotations, as the standard has it, and a keyword's null counts as absent, as in a body.
    Whether `$ref` leads somewhere and `pattern` is one is not looked at. Nothing recurses: whoever calls bounds depth.

    Returns:
        Its place below the schema (`.properties.city.type`), and what it must be.
    """
    waiting: list[_Placed] = [(None, schema)]
    while waiting:
        place, found = waiting.pop()
        if not isinstance(found, dict):
            if isinstance(found, bool):
                continue
            return _spelled(place), _A_SCHEMA
        for keyword, value in found.items():
            rule = _RULES.get(keyword)
            if rule is None or value is None:
                continue
            if not rule.fits(value):
                return _spelled((place, keyword)), rule.what
            if rule.inner is not None:
                waiting += rule.inner((place, keyword), value)
    return None


def _spelled(place: _Place) -> str:
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(steps))


def _is_type(value: object) -> bool:
    if isinstance(value, str):
        return value in TYPES
    return isinstance(value, list) and bool(value) and all(kind in TYPES for kind in value)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_filled(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value % 1 == 0


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_anything(_: object) -> bool:
    return True


def _itself(place: _Place, value: object) -> Iterable[_Placed]:
    return ((place, value),)


def _each(place: _Place, values: list[object]) -> Iterable[_Placed]:
    return [((place, number), value) for number, value in enumerate(values)]


def _members(place: _Place, values: dict[str, object]) -> Iterable[_Placed]:
    return [((place, name), value) for name, value in values.items()]


def _itself_or_each(place: _Place, value: object) -> Iterable[_Placed]:
    return _each(place, value) if isinstance(value, list) else _itself(place, value)


def _members_but_lists(place: _Place, values: dict[str, object]) -> Iterable[_Placed]:
    return [member for member in _members(place, values) if not isinstance(member[1], list)]


_RULES: Final[dict[str, _Rule]] = {
    "type": _Rule(_is_type, _A_TYPE),
    "items": _Rule(_is_anything, _A_SCHEMA, _itself_or_each),
    "dependencies": _Rule(_is_object, "must be an object", _members_but_lists),
    "required": _Rule(_are_texts, "must be a list of names"),
    "enum": _Rule(_is_list, "must be a list of values"),
    **dict.fromkeys(
        ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"),
        _Rule(_is_object, "must be an object of JSON schemas", _members),
    ),
    **dict.fromkeys(
        ("allOf", "anyOf", "oneOf", "prefixItems"), _Rule(_is_filled, "must be a list of JSON schemas", _each)
    ),
    **dict.fromkeys(
        (
            *("additionalProperties", "unevaluatedProperties", "propertyNames"),
            *("additionalItems", "unevaluatedItems", "contains"),
            *("not", "if", "then", "else"),
        ),
        _Rule(_is_anything, _A_SCHEMA, _itself),
    ),
    **dict.fromkeys(("$ref", "pattern", "format"), _Rule(_is_text, "must be a text")),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), _Rule(_is_number, "must be a number")),
    **dict.fromkeys(
        ("exclusiveMinimum", "exclusiveMaximum"),
        # Draft 4 has a boolean beside `minimum`.
        _Rule(lambda value: isinstance(value, int | float), "must be a number"),
    ),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        _Rule(_is_count, "must be a whole number that is not negative"),
    ),
}
