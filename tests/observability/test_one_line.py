"""A text says the same in JSON and breaks no line; for people nothing of it cannot be printed."""

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.observability.one_line import on_one_line, spelled_out

UNSEEN = "\x7f\x80\x85\x9b\x9f\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"
TEXTS = st.text(st.sampled_from(UNSEEN + 'aä€ \\"\n\x1b') | st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
@example(UNSEEN)
@example("\xa0\u200d\u2027\u202f\u2065\u206a")
def test_json_says_the_same_without_what_breaks_lines_or_steers_terminals(text: str) -> None:
    written = spelled_out(orjson.dumps({text: [text]}))
    assert orjson.loads(written) == {text: [text]}
    assert not set(written.decode()) & set(UNSEEN)
    assert len(written.decode().splitlines()) == 1


@given(TEXTS)
def test_a_text_for_people_can_be_printed(text: str) -> None:
    assert on_one_line(text).isprintable()
    if text.isprintable():
        assert on_one_line(text) == text
