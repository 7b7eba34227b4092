"""Are lists counted and media found, within bounded work?"""

import pytest

from gateway.payload import lists
from gateway.payload.lists import MAX_COUNTED, MAX_PARTS, count_batch, count_items, has_media


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
    """The sizes of what is decoded from now on."""
    sizes: list[int] = []
    decoder, part = lists._items, lists._part

    class Items:
        @staticmethod
        def decode(raw: bytes) -> object:
            found = decoder.decode(raw)
            sizes.append(len(found))
            return found

    class Part:
        @staticmethod
        def decode(raw: bytes) -> object:
            sizes.append(1)
            return part.decode(raw)

    monkeypatch.setattr(lists, "_items", Items)
    monkeypatch.setattr(lists, "_part", Part)
    return sizes


def test_the_search_for_media_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = counting(monkeypatch)
    few = b'[{"content":[' + b",".join([b'{"type":"input_text"}'] * (MAX_PARTS - 1)) + b"]}]"
    assert not has_media(few)
    assert sum(sizes) <= 3 * MAX_PARTS
    sizes.clear()
    many = b'[{"content":[' + b",".join([b'{"type":"image"}'] * (MAX_PARTS + 1)) + b"]}]"
    assert not has_media(many)
    assert sizes == []


@pytest.mark.parametrize("separator", [b",", b" ,", b",\n\n  "])
@pytest.mark.parametrize("item", [b'""', b'"a"', b"[1]", b"[]"])
def test_long_lists_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch, separator: bytes, item: bytes) -> None:
    sizes = counting(monkeypatch)
    raw = b"[" + separator.join([item] * (MAX_COUNTED * 3)) + b"]"
    assert count_batch(raw) == MAX_COUNTED + 1
    assert sizes == []


def test_many_token_numbers_and_commas_are_not_many_prompts() -> None:
    tokens = b",".join([b"1"] * 20)
    assert count_batch(b"[" + b",".join([b"[" + tokens + b"]"] * 2000) + b"]") == 2000
    assert count_batch(b'["' + b"," * (MAX_COUNTED * 2) + b'","' + b'\\",\\"' * MAX_COUNTED + b'"]') == 2
    assert count_batch(b"[" + b",".join([b"1"] * (MAX_COUNTED * 2)) + b"]") == 1


def test_only_lists_have_items() -> None:
    assert count_items(b'["a",1,{}]') == 3
    assert count_items(b'"a"') == count_items(b"") == count_items(b"{}") == count_items(b"null") == 0
