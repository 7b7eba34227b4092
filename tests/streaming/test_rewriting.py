"""Is only that changed which was to be changed?"""

import msgspec
import pytest

from gateway.streaming.rewriting import json_name, rewrite

ALIAS = json_name("alias")


def test_members_keep_their_order_and_text() -> None:
    data = b'{"b": 1.50, "model": "x", "a": {"model" : "x"}}'
    assert rewrite(data, name=ALIAS) == b'{"b":1.50,"model":"alias","a":{"model" : "x"}}'


def test_what_holds_no_model_is_left_as_it_is() -> None:
    data = b'{ "a": {} }'
    assert rewrite(data, name=ALIAS) is data
    assert rewrite(data, name=ALIAS, holder="response") is data
    assert rewrite(data, name=ALIAS, holder="a") is data
    assert rewrite(data, name=None, drop_usage=True) is data


def test_the_holders_own_model_is_set() -> None:
    data = b'{"model":"x","response":{"metadata":{"model":"x"},"model":"x"}}'
    expected = b'{"model":"x","response":{"metadata":{"model":"x"},"model":"alias"}}'
    assert rewrite(data, name=ALIAS, holder="response") == expected


def test_usage_is_taken_out() -> None:
    assert rewrite(b'{"a":1,"usage":{"b":{}},"c":2}', name=None, drop_usage=True) == b'{"a":1,"c":2}'


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"model":}'])
def test_broken_json_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        rewrite(data, name=ALIAS)


def test_a_name_is_spelled_as_json() -> None:
    assert json_name('a"b') == b'"a\\"b"'
