"""Tests of reading queries: which metrics they ask for, and what they look at when they would only choose."""

import pytest

from tests.monitoring.check.promql import metrics, selectors, widened


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("up", ["up"]),
        ('up{job="gateway"} == 0 or absent(up{job="gateway"})', ['up{job="gateway"}']),
        ('sum by (le, model) (rate(a_bucket{x=~"a}|b"}[5m]))', ['a_bucket{x=~"a}|b"}']),
        ("sum(a) by (b) / on (instance, c) group_left (d) e{f!='g'}", ["a", "e{f!='g'}"]),
        ("max_over_time(vllm:kv_cache_usage_perc[1h:5m] offset 1d) > bool 0.5e3", ["vllm:kv_cache_usage_perc"]),
        ("topk(3, a) unless ignoring (b) c and d", ["a", "c", "d"]),
        ("a # of b\n+ c", ["a", "c"]),
        ('{__name__="a", b="c"}', ['{__name__="a",b="c"}']),
        ("time() - 14 * 86400 + vector(0)", []),
    ],
)
def test_the_metrics_that_a_query_asks_for_are_found_with_their_matchers(query: str, expected: list[str]) -> None:
    assert selectors(query) == expected


def test_a_metric_is_its_name_alone() -> None:
    assert metrics('rate(a{b="c"}[5m]) / d') == {"a", "d"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a > 5", "a > bool 5"),
        ("a > bool 5", "a > bool 5"),
        ("a != on (b) c", "a != bool on ( b ) c"),
        ("a == 0 or absent(a)", "a == bool 0 or count ( a )"),
        ("a unless b", "a or b"),
        ('rate(a{b!="<c>", d=~"e"}[5m]) <= 1', 'rate ( a { b != "<c>" , d =~ "e" } [5m] ) <= bool 1'),
    ],
)
def test_a_widened_query_answers_wherever_there_is_something_to_compare(query: str, expected: str) -> None:
    assert widened(query) == expected
