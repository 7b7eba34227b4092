"""Are lists counted and media found, within bounded work?"""

from typing import Any

import msgspec
import pytest

from gateway.payload import lists
from gateway.payload.lists import (
    MAX_COUNTED,
    MAX_PARTS,
    SEARCHED_BYTES,
    UNCOUNTED,
    count_batch,
    count_items,
    has_media,
)


@pytest.mark.parametrize(
    "messages",
    [
        b'[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,"}}]}]',
        b'[{"role":"user","content":[{"type":"text","text":"a"},{"image_url":{"url":"data:,"}}]}]',
        b'[{"role":"user","content":[ { "type" : "input_audio" } ]}]',
        b'[{"role":"user","content":[{"type":"input_image","image_url":"data:,"}]}]',
        b'[{"role":"user","content":[{"type":"image","source":{}}]}]',
        b'[{"role":"user","content":[{"type":"document","source":{}}]}]',
        b'[{"role":"user","content":"a"},{"role":"user","content":[{"type":"file","file":{}}]}]',
        b'[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{}}]}]}]',
        b'[{"role":"user","content":[{"type":"video_url"}]}]',
        b'[{"role":"user","content":[{"input_audio":{}}]}]',
        b'[{"role":"user","content":[{"video_url":{}}]}]',
        b'[{"role":"user","content":[{"\\u0074ype":"image"}]}]',
        b'[{"role":"user","content":[{"image\\u005furl":{}}]}]',
        b'[{"role":"user","content":[{"type":"\\u0069mage_url"}]}]',
        b'[{"role":"user","content":["a",{"type":"image_url","image_url":{"url":"data:,"}}]}]',
    ],
)
def test_parts_that_are_no_text_are_found(messages: bytes) -> None:
    assert has_media(messages)


@pytest.mark.parametrize(
    "messages",
    [
        b"[]",
        b'"describe the image_url"',
        b'[{"role":"user","content":"[{\\"type\\":\\"image_url\\"}]"}]',
        b'[{"role":"user","content":[{"type":"text","text":"{\\"type\\":\\"image_url\\"}"}]}]',
        b'[{"role":"user","content":[{"type":"input_text","text":"a"}]}]',
        b'[{"role":"assistant","content":[{"type":"tool_use","input":{"type":"file","image_url":"x"}}]}]',
        b'[{"role":"assistant","content":[{"type":"output_text","text":"a"}]},7,"x",[{"type":"image"}]]',
        b'[{"role":"user","content":[{"type":"tool_result","content":"\\"image"}]}]',
        b'[{"role":"user","content":[{"type":5,"image":"image"}]}]',
        b'[{"content":[{"content":[{"content":[{"content":[{"type":"image"}]}]}]}]}]',
    ],
)
def test_text_is_not_taken_for_media(messages: bytes) -> None:
    assert not has_media(messages)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many items each decoding builds from now on; one that stops at an item of another type counts as none."""
    sizes: list[int] = []

    class Counted:
        def __init__(self, decoder: msgspec.json.Decoder[list[Any]]) -> None:
            self._decoder = decoder

        def decode(self, raw: bytes) -> list[Any]:
            found = self._decoder.decode(raw)
            sizes.append(len(found))
            return found

    for name in ("_items", "_texts", "_parts"):
        monkeypatch.setattr(lists, name, Counted(getattr(lists, name)))
    return sizes


@pytest.mark.parametrize("text", [b"", b"a" * SEARCHED_BYTES], ids=["short", "long"])
def test_the_search_for_media_is_bounded(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    sizes = counting(monkeypatch)
    few = b'[{"content":[{"text":"' + text + b'"},' + b",".join([b'{"type":"input_text"}'] * (MAX_PARTS - 2)) + b"]}]"
    assert not has_media(few)
    assert sum(sizes) <= MAX_PARTS
    sizes.clear()
    many = b",".join([b'{"type":"text"}'] * (MAX_PARTS + 1))
    wide = b"{" + b",".join([b'"type":"text"'] * (MAX_COUNTED + 1)) + b"}"
    for parts in (many, wide):
        assert not has_media(b'[{"content":[{"text":"' + text + b'"},' + parts + b"]}]")
    assert sizes == []


@pytest.mark.parametrize(
    "filler", [b'{"type":"text","text":""},' * MAX_PARTS, b'{"text":"%b"},' % (b"," * MAX_COUNTED)]
)
def test_media_do_not_hide_behind_more_than_is_taken_apart(filler: bytes) -> None:
    for part in (b'{"type":"image_url"}', b'{"image_url":{}}', b'{"type":"input\\u005fimage"}', b'{"type" : "file"}'):
        assert has_media(b'[{"role":"user","content":[%b%b]}]' % (filler, part))
    for text in (
        b'{"text":"an \\"image_url\\", a \\u00e9 and \\u003c"}',
        b'{"type":"image_of_nothing"}',
        b'{"file":"document"}',
    ):
        assert not has_media(b'[{"role":"user","content":[%b%b]}]' % (filler, text))


def test_long_messages_are_taken_apart_without_a_search() -> None:
    text = b"a" * SEARCHED_BYTES
    assert has_media(b'[{"content":[{"type":"text","text":"%b"},{"type":"image_url"}]}]' % text)
    assert has_media(b'[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%b"}}]}]' % text)
    assert has_media(b'[{"content":[{"type":"text","text":"%b"},{"type":"\\u0069mage"}]}]' % text)
    assert not has_media(b'[{"content":[{"type":"text","text":"%b \\"image_url\\""}]}]' % text)


@pytest.mark.parametrize("separator", [b",", b" ,", b",\n\n  "])
@pytest.mark.parametrize("item", [b'""', b'"a"', b"[1]", b"[]", rb'"\""', b'"\\\\"', b"{}", b'{"a":"b"}', b"null"])
def test_long_lists_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch, separator: bytes, item: bytes) -> None:
    sizes = counting(monkeypatch)
    raw = b"[" + b" " * 99 + separator.join([item] * (MAX_COUNTED * 3)) + b"]"
    assert count_batch(raw) == UNCOUNTED
    assert sizes == []


@pytest.mark.parametrize("rest", [b"1", b"[]", b"{}", b"null"])
def test_a_long_list_that_begins_as_texts_is_read_no_further_than_that(
    monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    sizes = counting(monkeypatch)
    assert count_items(b'["a",' + b",".join([rest] * MAX_COUNTED) + b"]") == UNCOUNTED
    assert sizes == []


COMMAS = b"," * MAX_COUNTED


@pytest.mark.parametrize(
    "text",
    [COMMAS, rb"\"," * 99_999, b"]]]" * 99_999, b"}}," * 99_999, b"\\\\", rb"c:\\ \\\", \\\\"],
    ids=["commas", "quotes", "brackets", "braces", "one backslash", "backslashes"],
)
@pytest.mark.parametrize("texts", [1, 2, 2048])
def test_texts_are_counted_exactly_whatever_stands_in_them(text: bytes, texts: int) -> None:
    items = [b'"' + COMMAS + b'"', b'"' + text + b'"', *[b'"\\\\"'] * texts]
    assert count_items(b"[" + b" , ".join(items) + b"]") == 2 + texts


def test_many_token_numbers_and_commas_are_not_many_prompts() -> None:
    tokens = b",".join([b"1"] * 20)
    assert count_batch(b"[" + b",".join([b"[" + tokens + b"]"] * 2000) + b"]") == 2000
    assert count_batch(b'["' + b"," * (MAX_COUNTED * 2) + b'","' + b'\\",\\"' * MAX_COUNTED + b'"]') == 2
    assert count_batch(b"[" + b",".join([b"1"] * (MAX_COUNTED * 2)) + b"]") == 1


def test_blanks_before_the_first_item_hide_nothing() -> None:
    assert count_batch(b"[" + b" " * 99 + b'"a","b"]') == 2
    assert count_batch(b"[" + b" " * 99 + b"1,2]") == 1
    assert count_batch(b"[" + b" " * 99 + b"]") == 0
    assert has_media(b"[" + b" " * 99 + b'{"content":[{"type":"image"}]}]')


def test_only_lists_have_items() -> None:
    assert count_items(b'["a",1,{}]') == 3
    assert count_items(b'"a"') == count_items(b"") == count_items(b"{}") == count_items(b"null") == 0
