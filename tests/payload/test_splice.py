"""Does a spliced body say what it is to say, in the client's own bytes?"""

import orjson
import pytest

from gateway.payload.splice import splice


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"model":"x"}'),
        (b"{ }", b'{ "model":"x"}'),
        (b" {\n} \r\n", b' {\n"model":"x"}'),
        (b'{"a":1}', b'{"a":1,"model":"x"}'),
        (b'{"a":1 } ', b'{"a":1 ,"model":"x"}'),
        (b'{"a":"{"}', b'{"a":"{","model":"x"}'),
        (b'{"a":{}}', b'{"a":{},"model":"x"}'),
        (b'{"a":"{ "}\n', b'{"a":"{ ","model":"x"}'),
    ],
)
def test_a_field_is_appended(body: bytes, expected: bytes) -> None:
    assert splice(body, {"model": b'"x"'}) == expected


def test_a_later_value_overrules_the_clients() -> None:
    spliced = splice(b'{"model":"a","n":1}', {"model": b'"b"', "stream_options": b'{"include_usage":true}'})
    assert spliced.startswith(b'{"model":"a","n":1,')
    assert orjson.loads(spliced) == {"model": "b", "n": 1, "stream_options": {"include_usage": True}}


def test_nothing_to_set_is_no_copy() -> None:
    body = b'{"a":1} '
    assert splice(body, {}) is body


def test_a_name_is_spelled_as_json() -> None:
    assert orjson.loads(splice(b"{}", {'a"b': b"1"})) == {'a"b': 1}
