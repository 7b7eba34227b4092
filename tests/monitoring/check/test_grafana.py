"""Tests of what Grafana makes of a dashboard's queries."""

import pytest

from tests.monitoring.check.grafana import Choice, asked, choices, filled_in, one_of_each, panels

BOARD = {
    "uid": "board",
    "templating": {
        "list": [
            {"type": "datasource", "name": "datasource"},
            {"type": "query", "name": "model", "query": "label_values(a, b)", "allValue": ".*"},
        ]
    },
    "panels": [
        {"type": "row", "panels": [{"type": "stat", "title": "Hidden", "targets": []}]},
        {"type": "stat", "title": "Shown", "targets": [{"refId": "A", "expr": "a"}, {"refId": "B", "expr": "b"}]},
    ],
}


def test_a_rate_is_over_four_scrapes_and_over_a_pixel_and_a_scrape() -> None:
    assert filled_in("rate(a[$__rate_interval])", {}, span=60, scrape=15) == "rate(a[60s])"
    assert filled_in("rate(a[$__rate_interval])", {}, span=100_000, scrape=15) == "rate(a[115s])"
    assert filled_in("rate(a[${__range}])", {}, span=61.4, scrape=1) == "rate(a[61s])"


def test_what_was_chosen_stands_in_the_query_as_a_regular_expression_in_a_text() -> None:
    chosen = one_of_each({"one": ["ip:10.0.0.1", "a+b"]})
    assert filled_in('a{b=~"$one"}', chosen, 60, 15) == 'a{b=~"(ip:10\\\\.0\\\\.0\\\\.1|a\\\\+b)"}'


def test_a_variable_that_the_dashboard_has_not_is_an_error() -> None:
    with pytest.raises(KeyError, match="modle"):
        filled_in('a{b="$modle"}', {"model": ".*"}, 60, 15)


def test_panels_under_a_folded_headline_are_panels_too() -> None:
    assert [panel["title"] for panel in panels(BOARD)] == ["Hidden", "Shown"]


def test_each_query_is_told_by_its_dashboard_its_panel_and_its_letter() -> None:
    assert [(one.where, one.query) for one in asked(BOARD)] == [("board: Shown [A]", "a"), ("board: Shown [B]", "b")]


def test_variables_are_what_is_asked_of_prometheus() -> None:
    assert list(choices(BOARD)) == [Choice("model", "a", "b", ".*")]


def test_a_dashboard_of_texts_asks_nothing() -> None:
    texts = {"uid": "texts", "templating": {}, "panels": [{"type": "text", "title": "Read this"}]}
    assert list(asked(texts)) == []
    assert list(choices(texts)) == []


def test_a_variable_that_asks_in_other_words_is_an_error() -> None:
    odd = {"type": "query", "name": "model", "query": "metrics(a)", "allValue": ".*"}
    with pytest.raises(ValueError, match="metrics"):
        list(choices({**BOARD, "templating": {"list": [odd]}}))
