"""Gaps between tokens are counted with the next look, each once."""

from gateway.observability.families.streams import GAPS
from gateway.observability.gaps import Gaps
from tests.observability.noted import CountedMetrics

CHAT = ("gateway_inter_token_seconds", "chat")


def test_what_was_noted_is_counted_once() -> None:
    metrics = CountedMetrics()
    gaps = Gaps(metrics)
    note = gaps.of("chat")
    for _ in range(3):
        note(0.02)
    assert metrics.observed == {}
    gaps.count()
    gaps.count()
    total, count = metrics.observed[CHAT]
    assert (round(total, 6), count) == (0.06, 3)


def test_a_stream_goes_on_noting_behind_a_look() -> None:
    metrics = CountedMetrics()
    gaps = Gaps(metrics)
    note = gaps.of("chat")
    for _ in range(2):
        note(0.5)
        gaps.of("chat")(0.25)
        gaps.count()
    assert metrics.observed == {CHAT: (1.5, 4)}


def test_each_group_has_its_own() -> None:
    metrics = CountedMetrics()
    gaps = Gaps(metrics)
    gaps.of("chat")(0.25)
    gaps.of("text2sql")(GAPS[-1] * 2)
    gaps.count()
    assert metrics.observed == {CHAT: (0.25, 1), ("gateway_inter_token_seconds", "text2sql"): (GAPS[-1] * 2, 1)}
