"""Digits are digits in every script, and what nobody sees parts nothing."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.plain_forms import in_plain_forms


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("０９０－１２３４－５６７８", "090-1234-5678"),  # noqa: RUF001 -- as Japan writes them
        ("ｊａｎｅ＠ｂ．ｄｅ", "jane@b.de"),  # noqa: RUF001
        ("٠١٢٣٤٥٦٧٨٩ ०१२३४५६७८९", "0123456789 0123456789"),
        ("4111\u200b11\u00ad11\u2060\ufeff1111", "411111111111"),
        ("jürgen, 北京。", "jürgen, 北京。"),
    ],
)
def test_it_is_read_as_people_read_it(text: str, plain: str) -> None:
    assert in_plain_forms(text) == plain


def test_every_digit_that_there_is_becomes_its_value() -> None:
    digits = [one for one in map(chr, range(sys.maxunicode + 1)) if one.isdecimal()]
    assert in_plain_forms("".join(digits)) == "".join(str(int(one)) for one in digits)


@given(st.text(st.characters(max_codepoint=0x17F, exclude_characters="\u00ad")))
def test_a_text_in_plain_forms_is_the_same_object(text: str) -> None:
    assert in_plain_forms(text) is text
