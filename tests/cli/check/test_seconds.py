"""Tests of spans of time as Compose and nginx write them."""

import pytest

from gateway.cli.check.seconds import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10s", 10), ("75", 75), ("2m30s", 150), ("1h 30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("1d", 86_400)],
)
def test_a_span_is_so_many_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "ten", "10 parsecs", "${NGINX_SEND_TIMEOUT}"])
def test_what_is_no_span_has_none(text: str) -> None:
    assert seconds(text) is None
