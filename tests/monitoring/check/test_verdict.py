"""Tests of the verdicts: what counts as an answer, and that the list of what is elsewhere stays true."""

import pytest

from tests.monitoring.check.questions import WHOLE, Question
from tests.monitoring.check.verdict import Answer, Verdict, judge, table, unasked

GPU = {"gpu_heat": "a GPU"}


def ask(query: str) -> int:
    """A Prometheus that has one metric, in two series."""
    if query.count("(") != query.count(")"):
        raise ValueError("parse error")
    return 2 if "here" in query else 0


def verdict(query: str, elsewhere: dict[str, str] | None = None) -> Verdict:
    return judge([Question("a panel", WHOLE, query)], ask, elsewhere or {})[0].verdict


@pytest.mark.parametrize(
    ("query", "elsewhere", "expected"),
    [
        ("here", {}, Verdict.DATA),
        ("hree", {}, Verdict.NOTHING),
        ("sum(here", {}, Verdict.REFUSED),
        ("gpu_heat", GPU, Verdict.ELSEWHERE),
        ("gpu_haet", GPU, Verdict.NOTHING),
        ("here", {"here": "a GPU"}, Verdict.SURPRISE),
        ("here or gpu_heat", GPU, Verdict.DATA),
        ('up{job="gpu"}', {'up{job="gpu"}': "a GPU"}, Verdict.ELSEWHERE),
        ('up{job="cpu"}', {'up{job="gpu"}': "a GPU"}, Verdict.NOTHING),
        ('here{job="gpu"}', {'here{job="gpu"}': "a GPU"}, Verdict.SURPRISE),
    ],
)
def test_a_query_without_data_is_named_unless_it_asks_for_what_is_not_here(
    query: str, elsewhere: dict[str, str], expected: Verdict
) -> None:
    assert verdict(query, elsewhere) is expected


def test_a_query_is_asked_once_however_often_it_stands_somewhere() -> None:
    asked: list[str] = []

    def count(query: str) -> int:
        asked.append(query)
        return 1

    answers = judge([Question("one", WHOLE, "here"), Question("other", WHOLE, "here")], count, {})
    assert [answer.question.where for answer in answers] == ["one", "other"]
    assert asked == ["here"]


def test_what_is_elsewhere_and_not_asked_for_is_named() -> None:
    answers = judge([Question("a panel", WHOLE, "max(gpu_heat)")], ask, GPU)
    assert unasked(answers, {**GPU, "gpu_cold": "a GPU"}) == ["gpu_cold"]
    of_a_job = judge([Question("an alert", WHOLE, 'absent(up{job="gpu"})')], ask, {})
    assert unasked(of_a_job, {'up{job="gpu"}': "a GPU", 'up{job="tpu"}': "another"}) == ['up{job="tpu"}']


def test_a_panel_is_as_good_as_the_worst_of_its_queries() -> None:
    good, bad = Question("a panel", WHOLE, "here or hree"), Question("a panel", "hree", "hree")
    headline, detail = table([Answer(good, Verdict.DATA, 2), Answer(bad, Verdict.NOTHING)])
    assert "NO DATA" in headline
    assert "hree" in detail
