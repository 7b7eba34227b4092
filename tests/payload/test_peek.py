"""Is a body read as the backend will read it, and is what cannot be read a plain 400?"""

import time
from collections.abc import Callable

import msgspec
import pytest

from gateway.core.errors import BadRequestError, GatewayError, InvalidJsonError
from gateway.payload.peek import LARGE_BYTES, MAX_MEMBERS, Peek, peek


def test_the_deciding_fields_are_read() -> None:
    body = (
        b'{"model":"qwen","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},'
        b'"max_tokens":7,"n":2,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function"}]}'
    )
    expected = Peek(
        model="qwen",
        stream=True,
        include_usage=True,
        continuous_usage=True,
        max_tokens=7,
        n=2,
        has_tools=True,
    )
    assert peek(body) == expected


def test_an_empty_object_asks_for_nothing() -> None:
    assert peek(b" {} ") == Peek()


def test_null_counts_as_absent() -> None:
    fields = [
        *("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n"),
        *("previous_response_id", "background", "store", "prompt", "input", "documents", "messages", "tools"),
    ]
    assert peek(("{" + ",".join(f'"{name}":null' for name in fields) + "}").encode()) == Peek()


def test_the_last_of_duplicate_keys_wins() -> None:
    assert peek(b'{"model":"a","n":1,"model":"b","n":2}') == Peek(model="b", n=2)
    assert peek(b'{"model":"a","model":null}').model is None


def test_an_escaped_key_is_the_same_key() -> None:
    assert peek(rb'{"m\u006fdel":"a","\u006e":3}') == Peek(model="a", n=3)


def test_an_empty_model_is_none() -> None:
    assert peek(b'{"model":""}').model is None


@pytest.mark.parametrize("spelling", [b"2", b'"2"', b"2.0", b'"2.0"', b'" 2 "', b"2e0", b'"+2"'])
def test_numbers_pass_in_every_spelling_that_vllm_takes(spelling: bytes) -> None:
    assert peek(b'{"max_tokens":%b,"n":%b}' % (spelling, spelling)) == Peek(max_tokens=2, n=2)


def test_the_largest_bound_on_the_answer_counts() -> None:
    assert peek(b'{"max_tokens":3,"max_completion_tokens":9,"max_output_tokens":4}').max_tokens == 9


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":1}', "model"),
        (b'{"model":["a"]}', "model"),
        (b'{"stream":"yes"}', "stream"),
        (b'{"stream":1}', "stream"),
        (b'{"stream_options":true}', "stream_options"),
        (b'{"stream_options":{"include_usage":"x"}}', "stream_options.include_usage"),
        (b'{"max_tokens":"two"}', "max_tokens"),
        (b'{"max_tokens":2.5}', "max_tokens"),
        (b'{"max_tokens":[2]}', "max_tokens"),
        (b'{"max_completion_tokens":{}}', "max_completion_tokens"),
        (b'{"max_output_tokens":1e999}', "max_output_tokens"),
        (b'{"max_output_tokens":1e300}', "max_output_tokens"),
        (b'{"n":"1_000"}', "n"),
        ('{"n":"٢"}'.encode(), "n"),
        pytest.param(b'{"n":%b}' % (b"9" * 4000), "n", id="4,000 digits"),
        pytest.param(b'{"n":%b}' % (b"9" * 1_000_000), "n", id="a million digits"),
        pytest.param(b'{"n":"%b"}' % (b"9" * 1_000_000), "n", id="a million digits in a text"),
        (b'{"n":"2.%b"}' % (b"0" * 50), "n"),
        (b'{"previous_response_id":7}', "previous_response_id"),
        (b'{"background":"no"}', "background"),
        (b'{"store":0}', "store"),
    ],
)
def test_a_wrong_type_names_its_field(body: bytes, param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        peek(body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_request", param)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("body", [b"", b" \r\n"])
def test_an_empty_body_is_called_so(body: bytes) -> None:
    with pytest.raises(InvalidJsonError, match=r"^The request body is empty\.$"):
        peek(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1',
        b'{"a":1,}',
        b"{'a':1}",
        b"[]",
        b"null",
        b'"x"',
        b"7",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b'{"n":NaN}',
        b'{"a":-Infinity}',
        b'{"a":01}',
        b'{"a":"\x01"}',
        rb'{"a":"\ud800"}',
        rb'{"model":"\ud800"}',
        b'{"model":"\xff"}',
        pytest.param(b'{"a":%b%b}' % (b"[" * 10_000, b"]" * 10_000), id="10,000 lists"),
        pytest.param(b'{"messages":%b%b}' % (b"[" * 10_000, b"]" * 10_000), id="10,000 lists in a field that is read"),
        pytest.param(b'{"a":%b1%b}' % (b'{"a":' * 10_000, b"}" * 10_000), id="10,000 objects"),
        "{}".encode("utf-16"),
        b"<html>",
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJsonError) as caught:
        peek(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    "value",
    [b"1e999", b'"\xff"', pytest.param(b"9" * 1_000_000, id="a million digits")],
)
def test_what_is_not_read_is_the_backends_to_refuse(value: bytes) -> None:
    assert peek(b'{"seed":%b,"n":2}' % value) == Peek(n=2)


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        (b'"a, b"', 1),
        (b'["a","b"]', 2),
        (b"[1,2,3]", 1),
        (b"[ 1]", 1),
        (b"[[1,2],[3]]", 2),
        (b"[]", 0),
        (b'[ "a" , "b, c" ]', 2),
        (b"{}", 1),
    ],
)
def test_prompts_and_inputs_are_counted(prompt: bytes, count: int) -> None:
    assert peek(b'{"prompt":%b}' % prompt).prompts == count
    assert peek(b'{"input":%b}' % prompt).inputs == count


def test_documents_and_scored_texts_are_counted() -> None:
    assert peek(b'{"query":"q","documents":["a","b","c"]}').documents == 3
    assert peek(b'{"text_1":"a","text_2":["a","b"]}').documents == 2
    assert peek(b'{"text_1":["a","b","c"],"text_2":["a"]}').documents == 3
    assert peek(b'{"queries":"q","documents":["a"]}').documents == 1


def test_what_asks_for_state_is_seen() -> None:
    seen = peek(b'{"previous_response_id":"resp_1","background":true,"store":true}')
    assert (seen.previous_response_id, seen.background, seen.store) == (True, True, True)
    seen = peek(b'{"previous_response_id":"","background":false,"store":false}')
    assert (seen.previous_response_id, seen.background, seen.store) == (False, False, False)


def test_a_refusal_never_quotes_the_body() -> None:
    with pytest.raises(GatewayError) as caught:
        peek(b'{"model": 5, "messages": "secret')
    assert "secret" not in caught.value.message


LARGE = b'"text":"' + b"a" * LARGE_BYTES + b'"'


def test_a_large_body_is_read_like_a_small_one() -> None:
    small = (
        b'{"model":"a","prompt":["a","b"],"input":[[1],[2],[3]],"documents":["a"],"stream":true,"n":1,"n":2,'
        b'"messages":[{"content":[{"type":"image"}]}],"m\\u006fdel":"b","max_tokens":"3","store":null%b}'
    )
    assert peek(small % (b"," + LARGE)) == peek(small % b"") != Peek()
    for wrong in (b'"n":"x"', b'"stream":"yes"', b'"stream_options":{"include_usage":1}', b'"seed":NaN', b'"a":[1,,]'):
        with pytest.raises(BadRequestError) as small_refusal:
            peek(b"{%b}" % wrong)
        with pytest.raises(BadRequestError) as refusal:
            peek(b"{%b,%b}" % (wrong, LARGE))
        assert (refusal.value.code, refusal.value.param) == (small_refusal.value.code, small_refusal.value.param)
    with pytest.raises(InvalidJsonError):
        peek(b"[{%b}]" % LARGE)


@pytest.mark.parametrize("member", [b'"":0', b'"n":1', b'"prompt":[]', b'"stream_options":{}'])
def test_a_large_body_has_few_members_and_reading_it_ends_with_the_first_too_many(member: bytes) -> None:
    assert peek(b"{%b,%b}" % (LARGE, b",".join([member] * (MAX_MEMBERS - 1)))).n == 1
    with pytest.raises(BadRequestError, match="256 members") as refusal:
        peek(b"{%b,%b,and no JSON" % (LARGE, b",".join([member] * MAX_MEMBERS)))
    assert refusal.value.status == 400
    assert peek(b"{%b}" % b",".join([member] * MAX_MEMBERS * 2)).n == 1


TEN_MIB = 10 * 1024 * 1024
NUMBERS = b'{"a":[' + b"1," * (TEN_MIB // 2 - 8) + b"1]}"


def filled(head: bytes, unit: bytes, tail: bytes) -> bytes:
    return head + unit * ((TEN_MIB - len(head) - len(tail)) // len(unit)) + tail


def cheapest(read: Callable[[], object]) -> float:
    """CPU seconds of the calling thread, the least of three runs: what it holds the interpreter's lock for."""

    def once() -> float:
        before = time.thread_time()
        read()
        return time.thread_time() - before

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    "body",
    [
        filled(b'{"prompt":["' + b"," * 16_384, b"]", b'"]}'),
        filled(b'{"prompt":["' + b"," * 16_384, b"}", b'"]}'),
        filled(b'{"prompt":["', b"]],", b'"]}'),
        filled(b'{"documents":["', rb"\",", b'"]}'),
        filled(b'{"documents":[', b"1,", b"1]}"),
        filled(b'{"input":[{"a":[', b"1,", b"1]}]}"),
        filled(b'{"text_1":["a",', b"1,", b"1]}"),
        filled(b'{"messages":[{"content":[{"content":[{"a":"', rb"\"", b'"},{"a":"document"}]}]}]}'),
        filled(b"{", b'"":1,', b'"n":1}'),
    ],
    ids=["brackets", "braces", "commas", "quotes", "numbers", "items", "mixed", "parts", "members"],
)
def test_no_body_costs_much_more_than_the_dearest_costs_to_be_gone_through(body: bytes) -> None:
    """Going through ten MiB of numbers is msgspec's own work, 25 ms on the machine that measured 63 for the worst."""
    skip = msgspec.json.Decoder(msgspec.Raw)

    def read() -> None:
        try:
            peek(body)
        except BadRequestError:
            return

    assert cheapest(read) < 5 * cheapest(lambda: skip.decode(NUMBERS))


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b'{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:"}}]}]}', True),
        (b'{"input":[{"content":[{"type":"input_image"}]}]}', True),
        (b'{"messages":[],"input":[{"content":[{"type":"input_image"}]}]}', True),
        (b'{"messages":[{"content":[{"type":"image"}]}],"input":"a"}', True),
        (b'{"stop":["a"],"messages":[{"content":"[image_url]"}]}', False),
        (b'{"messages":[{"content":"\\"image_url\\""}]}', False),
    ],
)
def test_a_part_that_is_no_text_is_seen(body: bytes, *, media: bool) -> None:
    assert peek(body).has_media is media
