"""Do peek and splice agree with a parser that reads everything? Tried on generated bodies."""

import json  # noqa: TID251 -- vLLM reads bodies with it, so it is the oracle
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadRequestError
from gateway.payload.peek import Peek, peek
from gateway.payload.splice import splice

NAMES = ("model", "n", "max_tokens", "stream", "messages", "input", "prompt", "tools", "store", "stream_options")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
objects = st.dictionaries(st.sampled_from(NAMES) | st.text(), values, max_size=5)
space = st.text(" \t\r\n", max_size=3)


@dataclass(frozen=True)
class Spelling:
    """How a client writes its JSON."""

    separators: tuple[str, str]
    ascii_only: bool

    def spell(self, fields: dict[str, Any]) -> str:
        return json.dumps(fields, separators=self.separators, ensure_ascii=self.ascii_only)


spellings = st.builds(
    Spelling,
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")]),
    st.booleans(),
)


def encodable(fields: dict[str, Any]) -> bool:
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(objects.filter(encodable), st.dictionaries(st.sampled_from(NAMES), values, min_size=1), spellings, space)
def test_a_splice_is_an_update(
    fields: dict[str, Any], update: dict[str, Any], spelling: Spelling, padding: str
) -> None:
    body = (padding + spelling.spell(fields) + padding).encode()
    spliced = splice(body, json.dumps(update)[1:-1].encode())
    assert json.loads(spliced) == {**fields, **update}


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.none() | st.text(st.characters(codec="utf-8")),
            "stream": st.none() | st.booleans(),
            "store": st.none() | st.booleans(),
            "max_tokens": st.none() | st.integers(-9, 99),
            "n": st.none() | st.integers(-9, 99),
            "prompt": st.lists(st.text(st.characters(codec="utf-8")), max_size=5),
            "seed": values,
        },
    ).filter(encodable),
    spellings,
)
def test_peek_sees_what_a_parser_sees(fields: dict[str, Any], spelling: Spelling) -> None:
    body = spelling.spell({"model": "stale", "n": 77, **fields}).encode()
    # The stale values stand first as duplicates too: the last one wins.
    body = b'{"model":"first","n":5,' + body[1:]
    parsed = json.loads(body)
    n = parsed["n"]
    assert peek(body) == Peek(
        model=parsed["model"] or None,
        stream=bool(parsed.get("stream")),
        store=bool(parsed.get("store")),
        max_tokens=parsed.get("max_tokens"),
        n=1 if n is None else n,
        prompts=len(parsed.get("prompt", "x")),
    )


def read_or_refused(body: bytes) -> bool:
    """Either the client is told that it is no JSON, or a splice decides which model is asked for; nothing else."""
    try:
        peek(body)
    except BadRequestError as refusal:
        return refusal.status == 400
    fields = json.loads(splice(body, b'"model":"x"').decode("utf-8", "replace"))
    return bool(fields["model"] == "x")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda inner: b'{"n":' + inner + b"}"))
def test_arbitrary_bytes_are_read_or_refused(body: bytes) -> None:
    assert read_or_refused(body)


@settings(max_examples=150, deadline=None)
@given(objects.filter(encodable), st.data())
def test_damaged_bodies_are_read_or_refused(fields: dict[str, Any], data: st.DataObject) -> None:
    body = bytearray(json.dumps(fields, separators=(",", ":")).encode())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert read_or_refused(bytes(body))
