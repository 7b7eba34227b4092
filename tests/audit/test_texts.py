"""All texts of a body are cleaned, wherever they stand, however they are spelled; what is no text is left out."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.personal import without_personal_data
from gateway.audit.texts import CUT_CHARACTERS, body_texts, stream_texts

SECRET = "s3cret"


def clean(text: str) -> str:
    return text.replace(SECRET, "[x]")


def whole(body: bytes, *, cut: bool = False) -> Any:
    return body_texts(body, clean, cut=cut)


def events(*bodies: object, ending: str = "data: [DONE]\n\n") -> bytes:
    return ("".join(f"data: {orjson.dumps(body).decode()}\n\n" for body in bodies) + ending).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(around=JSON, place=st.sampled_from(["value", "key", "list"]), escaped=st.booleans())
def test_what_is_to_be_hidden_is_hidden_wherever_it_stands(around: Any, place: str, *, escaped: bool) -> None:
    inside = {"value": {"a": SECRET}, "key": {SECRET: 1}, "list": ["a", SECRET]}[place]
    text = orjson.dumps([around, {"b": [inside]}]).decode()
    if escaped:
        text = text.replace(SECRET, "".join(f"\\u{ord(one):04x}" for one in SECRET))
    for body, cut in ((text, False), (text + "," + " " * 400, True), ("not JSON: " + text, False)):
        written = orjson.dumps(whole(body.encode(), cut=cut))
        assert SECRET.encode() not in written
        assert b"[x]" in written


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", None),
        (b"{}", {}),
        (b'{"embedding": [1, 2.5], "x": [[1,2],[3]]}', {"x": ["[2 numbers]", "[1 numbers]"]}),
        (b'{"logprobs": {"tokens": ["s3", "cret"]}, "b": true}', {"b": True}),
        (b'{"url": "data:image/png;base64,AAAA"}', {"url": "[data]"}),
        (b'{"n": 123456789012345678901234567890, "x": 1.5}', {"n": "[number]", "x": 1.5}),
        (b"[" * 100 + b"1" + b"]" * 100, None),
        (b'"\\ud800"', '"?"'),
        (b"\xff\xfe\x00", "��\x00"),
        (b'{"a": NaN}', '{"a": NaN}'),
    ],
)
def test_what_is_no_text_or_no_json_can_be_written_all_the_same(body: bytes, shown: Any) -> None:
    found = whole(body)
    assert orjson.dumps(found)
    if shown is not None:
        assert found == (shown if shown != '"?"' else '"�"')


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("4111111111111111.0", "[card]"),
        ("4.111111111111111E15", "[card]"),
        ("4111111111111111", "[card]"),
        ("6304000000000000000.0", "[number]"),
        ("1.5", 1.5),
        ("4.0", 4.0),
        ("1e300", 1e300),
        ("-1e19", -1e19),
    ],
)
def test_a_card_is_known_however_its_number_is_written(number: str, shown: Any) -> None:
    assert body_texts(b'{"n": %b}' % number.encode(), without_personal_data, cut=False) == {"n": shown}


@pytest.mark.parametrize("depth", [100, 100_000])
def test_a_deep_body_is_no_failure(depth: int) -> None:
    assert orjson.dumps(whole(b'{"a":' * depth + b"1" + b"}" * depth))


def test_a_number_that_is_to_be_hidden_is_no_number() -> None:
    assert body_texts(b'{"card": 4111, "x": 1}', lambda text: text.replace("4111", "[card]"), cut=False) == {
        "card": "[card]",
        "x": 1,
    }


def test_half_of_something_is_not_shown() -> None:
    body = b"x" * 1000 + SECRET[:-1].encode()
    assert whole(body, cut=True) == "x" * (1000 + len(SECRET) - 1 - CUT_CHARACTERS)
    stream = events({"choices": [{"index": 0, "delta": {"content": "x" * 1000 + SECRET[:-1]}}]}, ending='data: {"cho')
    assert SECRET[:-1] not in stream_texts(stream, clean, cut=True)["0.content"]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_a_streams_text_is_put_together_before_it_is_looked_at(sizes: list[int]) -> None:
    text, pieces = f"a {SECRET} b {SECRET}", []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    body = events(*({"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in [*pieces, text]))
    assert stream_texts(body, clean, cut=False) == {"0.content": "a [x] b [x]"}


def test_each_dialects_pieces_are_told_apart() -> None:
    chat = events(
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}, "logprobs": {"content": ["H"]}}]},
        {"choices": [{"index": 1, "delta": {"content": "other"}}, {"index": 0, "delta": {"content": "lo"}}]},
        {"choices": [{"index": 0, "delta": {"reasoning_content": "why"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "id": "c", "function": {"arguments": "{"}}]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]}}]},
        {"choices": [], "usage": {"prompt_tokens": 1}},
    )
    assert stream_texts(chat, clean, cut=False) == {
        "0.content": "Hello",
        "1.content": "other",
        "0.reasoning_content": "why",
        "0.tool_calls.1.function.arguments": "{}",
    }
    completions = events({"choices": [{"index": 0, "text": "Hel"}]}, {"choices": [{"index": 0, "text": "lo"}]})
    assert stream_texts(completions, clean, cut=False) == {"0.text": "Hello"}
    messages = b"event: content_block_delta\n" + events(
        {"type": "message_start", "message": {"content": []}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        ending="event: message_stop\ndata: {}\n\n",
    )
    assert stream_texts(messages, clean, cut=False) == {"0.text": "Hello", "1.partial_json": "{}"}
    where = {"output_index": 0, "content_index": 0}
    responses = events(
        {"type": "response.output_text.delta", **where, "delta": "Hel"},
        {"type": "response.output_text.delta", **where, "delta": "lo"},
        {"type": "response.output_text.done", **where, "text": "Hello"},
        {"type": "response.completed", "response": {"output": []}},
    )
    assert stream_texts(responses, clean, cut=False) == {"0.0.output_text": "Hello"}


@given(st.binary(max_size=60), JSON)
def test_a_stream_of_anything_is_no_failure(noise: bytes, value: Any) -> None:
    body = noise + b"\n" + events(value, {"choices": value}, {"choices": [value], "delta": value}, {"delta": value})
    assert orjson.dumps(stream_texts(body, clean, cut=True)) is not None
