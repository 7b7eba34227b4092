"""Does an outline state what the whole document does, and is there none where it would not?"""

from itertools import pairwise
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.usage import Usage
from gateway.payload.answer import Answer, read_answer
from gateway.payload.outline import outline

VECTORS = b'{"index":0,"object":"embedding","embedding":[0.5,-1.25e-05]},{"index":1,"embedding":[1]}'
BEFORE = b'{"id":"embd-1","object":"list","created":1,"model":"qwen","data":['
BEHIND = b'],"usage":{"prompt_tokens":5,"total_tokens":5,"completion_tokens":0}}'
ANSWER = BEFORE + VECTORS + BEHIND


def split(body: bytes, *cuts: int) -> list[bytes]:
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("cuts", [(), (80,), (len(BEFORE),), (90, 120, 130), (len(ANSWER) - len(BEHIND),)])
def test_vectors_are_left_out_and_all_around_them_stays(cuts: tuple[int, ...]) -> None:
    assert outline(split(ANSWER, *cuts)) == BEFORE + BEHIND


@pytest.mark.parametrize(
    "inside",
    [
        b'1],"usage":{"prompt_tokens":7},"data":[2',
        b'1],"error":{"message":"x"},"data":[2',
        b'1],"object":"error","data":[2',
        b'1],"type":"message","data":[2',
        b'1],"status":"failed","data":[2',
        b'1],"\\u0065\\u0072\\u0072o\\u0072":{"a":1},"data":[2',
        b'{"index":0,"finish_reason":"abort"}',
    ],
)
@pytest.mark.parametrize("cut", [len(BEFORE), len(BEFORE) + 3, len(BEFORE) + 25, -len(BEHIND)])
def test_nothing_that_decides_is_left_out(inside: bytes, cut: int) -> None:
    body = BEFORE + inside + BEHIND
    assert outline([body]) is None
    assert outline(split(body, cut % len(body))) is None


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"\xff]{,", b"\x00]{,", b"\x00" * 9, "\u221e".encode()]
)
@pytest.mark.parametrize("cuts", [(), (len(BEFORE) + 5,), (len(BEFORE) + 3, len(ANSWER) - len(BEHIND))])
def test_what_cannot_be_a_number_is_left_to_be_read(number: bytes, cuts: tuple[int, ...]) -> None:
    body = ANSWER.replace(b"0.5", number)
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        msgspec.json.decode(body)
    assert outline(split(body, *cuts)) is None


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b""],
        [b"{}"],
        [b"]["],
        [b'{"data":[1,2'],
        [b'{"data":[1,2]'],
        [ANSWER + b"}"],
        [ANSWER.replace(b"qwen", b"a[0]")],
        [BEFORE + VECTORS[:-1], b"7" + BEHIND[1:]],
    ],
    ids=["nothing", "empty", "no list", "reversed", "cut", "no end", "two ends", "a bracket in a text", "open"],
)
def test_what_is_no_whole_document_without_its_list_has_no_outline(parts: list[bytes]) -> None:
    assert outline(parts) is None


names = st.sampled_from(
    ["error", "usage", "object", "type", "status", "stop_reason", "choices", "data", "a[", "]", "x"],
)
texts = st.sampled_from(["error", "response", "message", "failed", "cancelled", "abort", "[", "]", "],", '":"', "x"])
usages = st.fixed_dictionaries({"prompt_tokens": st.integers(0, 9)})
choices = st.lists(st.fixed_dictionaries({"finish_reason": texts}), max_size=2)
values = (
    st.none() | texts | st.lists(st.floats(-1, 1) | st.lists(st.integers(0, 9), max_size=2), max_size=3)
) | st.one_of(usages, choices)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(names, values, max_size=6), st.lists(st.integers(0, 200), max_size=3))
def test_an_outline_states_the_same_figures_and_hides_no_failure(members: dict[str, Any], cuts: list[int]) -> None:
    body = orjson.dumps(members)
    outlined = outline(split(body, *cuts))
    if outlined is None:
        return
    seen, whole = read_answer(outlined), read_answer(body)
    # One whose `choices` are no choices states no figures; its outline, which has none of them, may.
    assert seen.usage == whole.usage or whole.usage is None
    assert seen.failed >= whole.failed
    assert seen.aborted >= whole.aborted


def test_an_outline_is_read_as_the_whole_is() -> None:
    outlined = outline([ANSWER])
    assert outlined is not None
    assert read_answer(outlined) == read_answer(ANSWER) == Answer(Usage(5, 0))
