"""What is spelled out is read as its reader would, at any level of JSON within JSON."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.escapes import fully_unescaped, unescaped


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_an_escape_is_read_at_every_level(levels: int) -> None:
    text = r"jane\u0040b.de"
    for _ in range(levels - 1):
        text = orjson.dumps(text).decode()[1:-1]
    assert fully_unescaped(text) == "jane@b.de"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r"a\nb\tc\"d\/e", 'a\nb\tc"d/e'),
        (r"\ud83d\ude00 \ud83d", "😀 \ufffd"),
        (r"a\\b", r"a\b"),
        (r"\d+ \u12 \x", r"\d+ \u12 \x"),
        ("\\", "\\"),
    ],
)
def test_each_escape_of_json_is_known(text: str, read: str) -> None:
    assert unescaped(text) == read


@given(st.text().filter(lambda text: "\\" not in text))
def test_a_text_without_any_is_the_same_object(text: str) -> None:
    assert unescaped(text) is text
    assert fully_unescaped(text) is text


@given(st.text(st.sampled_from('\\u0d8fn"a'), max_size=40))
def test_whatever_is_read_can_be_written(text: str) -> None:
    assert orjson.dumps(fully_unescaped(text))
