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
    assert splice(body, b'"model":"x"') == expected


def test_a_later_value_overrules_the_clients() -> None:
    spliced = splice(b'{"model":"a","n":1}', b'"model":"b","stream_options":{"include_usage":true}')
    assert spliced.startswith(b'{"model":"a","n":1,')
    assert orjson.loads(spliced) == {"model": "b", "n": 1, "stream_options": {"include_usage": True}}
