"""What is wrong with a schema is found, with its place, and nothing else is: a validator is the oracle."""

import tracemalloc
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.payload.json_schema import TYPES, fault_of

SOUND: dict[str, Any] = {
    "$defs": {"place": {"type": "object", "properties": {"type": {"type": "string"}, "required": {"type": "boolean"}}}},
    "type": "object",
    "properties": {
        "city": {"type": ["string", "null"], "minLength": 1, "pattern": "^[A-Z]", "format": "city", "default": None},
        "days": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 1.5e1}, "maxItems": 7},
        "kind": {"enum": ["a", 1, None, {"type": "no schema"}]},
        "at": {"anyOf": [{"$ref": "#/$defs/place"}, {"const": {"type": "no schema either"}}, True]},
        "pair": {"prefixItems": [{"type": "number"}, {}], "items": False},
    },
    "required": ["city"],
    "additionalProperties": False,
    "x-of-ours": {"type": "of ours"},
}


def test_a_schema_with_all_that_one_may_have_is_sound() -> None:
    assert jsonschema_rs.meta.is_valid(SOUND)
    assert fault_of(SOUND) is None


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "nonsense"}, ".type"),
        ({"type": []}, ".type"),
        ({"type": ["string", "any"]}, ".type"),
        ({"type": {"type": "string"}}, ".type"),
        ({"properties": ["city"]}, ".properties"),
        ({"properties": {"city": "string"}}, ".properties.city"),
        ({"properties": {"city": {"required": True}}}, ".properties.city.required"),
        ({"required": "city"}, ".required"),
        ({"required": [1]}, ".required"),
        ({"items": {"items": {"type": "str"}}}, ".items.items.type"),
        ({"items": [{}, {"type": "str"}]}, ".items[1].type"),
        ({"items": "string"}, ".items"),
        ({"anyOf": [{"type": "string"}, {"enum": "a"}]}, ".anyOf[1].enum"),
        ({"anyOf": []}, ".anyOf"),
        ({"oneOf": {}}, ".oneOf"),
        ({"additionalProperties": {"type": "float"}}, ".additionalProperties.type"),
        ({"$defs": {"a": {"not": {"type": 1}}}}, ".$defs.a.not.type"),
        ({"dependencies": {"a": ["b"], "c": {"type": "d"}}}, ".dependencies.c.type"),
        ({"minimum": "0"}, ".minimum"),
        ({"minimum": True}, ".minimum"),
        ({"maxLength": -1}, ".maxLength"),
        ({"minItems": 1.5}, ".minItems"),
        ({"pattern": 3}, ".pattern"),
        ({"$ref": {}}, ".$ref"),
        ("schema", ""),
    ],
)
def test_what_is_wrong_is_found_in_its_place(schema: Any, place: str) -> None:
    fault = fault_of(schema)
    assert fault is not None
    assert fault[0] == place
    assert not jsonschema_rs.meta.is_valid(schema)


WRONG: dict[str, tuple[object, str]] = {
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"), ({"a": 1}, ".a")),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), ([{}, 1], "[1]")),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "propertyNames", "items"), (1, "")),
    **dict.fromkeys(("additionalItems", "unevaluatedItems", "contains", "not", "if", "then", "else"), (1, "")),
    **dict.fromkeys(("$ref", "pattern", "format"), (1, "")),
    **dict.fromkeys(("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"), ("1", "")),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        (-1, ""),
    ),
}
"""A value that each keyword cannot have, and where in it that is seen."""


@pytest.mark.parametrize(("keyword", "value", "where"), [(keyword, *wrong) for keyword, wrong in WRONG.items()])
def test_each_keyword_is_judged(keyword: str, value: object, where: str) -> None:
    fault = fault_of({"title": "a place", keyword: value})
    assert fault is not None
    assert fault[0] == f".{keyword}{where}"


def test_null_counts_as_absent_and_depth_does_not_recurse() -> None:
    assert fault_of(dict.fromkeys(("type", "properties", "items", "required", "anyOf", "enum", "minimum"))) is None
    schema: Any = {"type": "wizard"}
    for _ in range(100_000):
        schema = {"not": schema}
    fault = fault_of(schema)
    assert fault is not None
    while "not" in schema:  # an interpreter frees it by recursion
        schema = schema["not"]


VALUES: st.SearchStrategy[Any] = st.deferred(
    lambda: st.one_of(
        st.booleans(),
        st.integers(-2, 3),
        st.floats(-2, 2),
        st.sampled_from([*TYPES, "any", ""]),
        st.lists(VALUES, max_size=3),
        SCHEMAS,
    )
)
KEYWORDS = (
    *(
        "type",
        "properties",
        "items",
        "required",
        "enum",
        "anyOf",
        "prefixItems",
        "additionalProperties",
        "not",
        "$defs",
    ),
    *("minimum", "maxLength", "pattern", "default", "description-of-ours", "dependentSchemas", "contains", "if"),
)
SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.sampled_from(KEYWORDS), VALUES, max_size=3)


@given(SCHEMAS)
def test_what_a_validator_takes_is_never_refused(schema: dict[str, Any]) -> None:
    if fault_of(schema) is not None:
        assert not jsonschema_rs.meta.is_valid(schema)


def test_what_older_drafts_have_is_no_fault() -> None:
    assert fault_of({"items": [{"type": "string"}], "additionalItems": False}) is None
    assert fault_of({"minimum": 0, "exclusiveMinimum": True, "dependencies": {"a": ["b"]}}) is None


def test_a_long_name_above_many_schemas_is_held_once() -> None:
    schema: dict[str, Any] = {"properties": {"a" * 20_000: {"anyOf": [{} for _ in range(5_000)]}}}  # 35 KB
    tracemalloc.start()
    try:
        assert fault_of(schema) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20
