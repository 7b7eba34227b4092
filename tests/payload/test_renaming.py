"""Is a passing answer's model renamed, and nothing else of it, whatever pieces it comes in?"""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.payload.passing import EDGE_BYTES
from gateway.payload.renaming import Renaming

texts = st.text(max_size=6) | st.sampled_from(
    ["model", 'a"model', '"model":"qwen"', '\\"model":"qwen"', "{", "}", "\\", '"']
)
values = st.recursive(
    st.none() | st.integers(0, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
answers = st.builds(
    lambda before, behind: {**before, "model": "qwen", **behind},
    st.dictionaries(texts, values, max_size=3),
    st.dictionaries(texts.filter(lambda key: key != "model"), values, max_size=3),
)


def renamed(*pieces: bytes) -> bytes:
    renaming = Renaming('alias "1"')
    return b"".join([*[renaming.feed(piece) for piece in pieces], renaming.rest()])


@settings(max_examples=300, deadline=None)
@given(answers, st.integers(0, 2 * EDGE_BYTES), st.lists(st.integers(0, 5 * EDGE_BYTES), max_size=4), st.booleans())
def test_only_the_answers_own_name_is_changed(answer: dict[str, Any], size: int, cuts: list[int], blanks: bool) -> None:  # noqa: FBT001 -- hypothesis gives arguments by position
    members = {"text": "x" * size, **answer}
    body = orjson.dumps(members, option=orjson.OPT_INDENT_2 if blanks else None)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(places)]
    out = orjson.loads(renamed(*pieces))
    assert out == {**members, "model": 'alias "1"'}
    assert list(out) == list(members)


@pytest.mark.parametrize("body", [b"[]", b'[{"model":"qwen"}]', b'{"a":{"model":"qwen"}}', b'{"model":null}', b"{"])
def test_what_states_no_name_of_its_own_passes_as_it_is(body: bytes) -> None:
    assert renamed(body) == body


@pytest.mark.parametrize("size", range(EDGE_BYTES - 24, EDGE_BYTES))
def test_a_name_that_merely_ends_alike_is_none_wherever_what_is_held_begins(size: int) -> None:
    body = rb'{"a\"model":"qwen","text":"' + b"x" * size
    assert renamed(body, b'"}') == body + b'"}'


def test_once_the_name_was_found_nothing_is_held_back_or_looked_at() -> None:
    renaming = Renaming("b")
    assert renaming.feed(b'{"model":"a","data":[') == b'{"model":"b","data":['
    rest = b'"model":"a"' + b"x" * EDGE_BYTES
    assert renaming.feed(rest) is rest
    assert renaming.rest() == b""
