"""The judge itself: what fits a shape, and what a difference says."""

import re
from typing import Any

import pytest

from tests.contract.events import DONE, Event, events
from tests.contract.shapes import assert_shape, differences, either, fits


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("a", str),
        (1, int),
        (1, float),
        (1.5, float),
        (True, bool),
        (None, None),
        ("a", "a"),
        ("ab1", re.compile(r"[a-b]+\d")),
        ({"a": {"b": 1}}, {"a": {"b": int}}),
        ([1, 2], [int]),
        ([1, "a"], (int, str)),
        ([], ()),
        (None, either(str, None)),
    ],
)
def test_what_fits(value: Any, shape: Any) -> None:
    assert fits(value, shape)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (True, int),
        (True, float),
        (1, bool),
        (1.0, 1),
        (1, True),
        ("", None),
        ("ab12", re.compile(r"[a-b]+\d")),
        (1, re.compile(r"\d")),
        ({"a": 1}, {}),
        ({}, {"a": int}),
        ([], {}),
        ([], [int]),
        ([1, "a"], [int]),
        ([1], ()),
        ([1], (int, int)),
        (1, either(str, None)),
    ],
)
def test_what_does_not_fit(value: Any, shape: Any) -> None:
    assert not fits(value, shape)


def test_every_difference_is_told_with_its_path() -> None:
    found = list(differences({"a": [1, "x"], "c": 2}, {"a": [int], "b": str}))
    assert found == ["$.b: missing", "$.c: not expected, holds 2", "$.a[1]: 'x', expected int"]


def test_a_failure_shows_the_differences() -> None:
    with pytest.raises(AssertionError, match=r"\$\.a: missing"):
        assert_shape({}, {"a": int})


def test_events_are_read_with_their_names() -> None:
    text = 'event: x\ndata: {"a":1}\n\ndata: [DONE]\n\n'
    assert events(text) == [Event("x", {"a": 1}), Event(None, DONE)]


@pytest.mark.parametrize("text", ["data: 1\n", "data: 1\n\ndata: 2", "id: 1\ndata: 2\n\n", "data:1\n\n", ": ping\n\n"])
def test_what_vllm_would_not_write_is_no_stream(text: str) -> None:
    with pytest.raises(ValueError, match=r"stream|data|name"):
        events(text)
