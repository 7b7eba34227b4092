"""Are tool calls read alike, whole and piece by piece?"""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator import hermes
from gateway.simulator.content.calls import hermes as written

CALL = written("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}}, "Weather in New York?")


def test_a_whole_call_is_a_name_and_json() -> None:
    content, (call,) = hermes.read_whole(CALL)
    assert (content, call.name, orjson.loads(call.arguments)) == ("", "get_weather", {"city": "New York"})


def test_a_call_that_was_cut_is_text() -> None:
    assert hermes.read_whole(CALL[:-3]) == (CALL[:-3], [])


@given(st.lists(st.integers(1, 9), min_size=1))
def test_the_size_of_the_pieces_does_not_matter(sizes: list[int]) -> None:
    text = f"Let me see. {CALL}\n{CALL}"
    reader = hermes.Reader()
    deltas = []
    position = 0
    while position < len(text):
        size = sizes[position % len(sizes)]
        deltas += reader.feed(text[position : position + size])
        position += size
    assert "".join(delta.content for delta in deltas) == "Let me see. "
    assert [delta.name for delta in deltas if delta.name] == ["get_weather", "get_weather"]
    for index in (0, 1):
        arguments = "".join(delta.arguments for delta in deltas if delta.index == index)
        assert orjson.loads(arguments) == {"city": "New York"}


@pytest.mark.parametrize("text", ["a < b", "<tool", "a <tools> b"])
def test_what_only_looks_like_a_tag_is_text(text: str) -> None:
    reader = hermes.Reader()
    given_out = "".join(delta.content for piece in text for delta in reader.feed(piece))
    assert text.startswith(given_out)
    assert reader.calls == 0
