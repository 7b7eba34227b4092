"""Tests of the dashboards: the files are what the tables say, and all that they name is there."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as families_in

from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Family, Kind
from gateway.simulator.metrics import Metrics
from monitoring.dashboards import sections
from monitoring.dashboards.links import kebab, runbook_of
from monitoring.dashboards.pages import FOLDER, PAGES, files, render
from monitoring.dashboards.table import Page, Panel
from tests.monitoring.check import grafana
from tests.monitoring.check.elsewhere import ELSEWHERE
from tests.monitoring.check.promql import metrics, selectors
from tests.monitoring.check.questions import rules
from tests.monitoring.check.server import ROOT

BOARDS = [board for board in grafana.boards(FOLDER) if board["uid"] != sections.UID]
"""Those that ask something; test_runbooks.py is about the one that does not."""
PANELS = [(page, panel) for page in PAGES for section in page.sections for panel in section.panels]
QUERIES = [asked for board in BOARDS for asked in grafana.asked(board)]
ALERTS = {str(rule["alert"]): rule["annotations"] for rule in rules() if "alert" in rule}
RECORDS = {str(rule["record"]) for rule in rules() if "record" in rule}
PROMETHEUS_OWN = {"up", "ALERTS"}
ENDINGS = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}
GIVEN_BY_SCRAPES = {"instance", "job", "le"}
LABELS = re.compile(r"(?:by|on|without|ignoring)\s*\(([^)]*)\)")
MATCHERS = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
PICTURE = ROOT / "docs" / "images" / "overview-preview.png"
MOST_BYTES = 300_000

on_each_panel = pytest.mark.parametrize(
    ("page", "panel"), PANELS, ids=[f"{page.file}: {panel.title}" for page, panel in PANELS]
)
on_each_query = pytest.mark.parametrize("asked", QUERIES, ids=[asked.where for asked in QUERIES])


def of_gateway() -> dict[str, Family]:
    """The gateway's metrics, by the names that Prometheus has for them."""
    return {f"{family.name}{ending}": family for family in CATALOGUE for ending in ENDINGS[family.kind]}


def of_vllm() -> set[str]:
    """The metrics of a vLLM server, by the names that Prometheus has for them."""
    server = Metrics("model")
    gauges = {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"}
    return gauges | {sample.name for found in families_in(server.render().decode()) for sample in found.samples}


GATEWAY, KNOWN = of_gateway(), {*of_gateway(), *of_vllm(), *RECORDS, *ELSEWHERE, *PROMETHEUS_OWN}


@pytest.mark.parametrize("page", PAGES, ids=[page.file for page in PAGES])
def test_the_files_are_what_the_tables_say(page: Page) -> None:
    assert (FOLDER / f"{page.file}.json").read_bytes() == render(page), "run: make dashboards"


def test_there_is_no_file_without_a_table() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(files())


def test_the_dashboards_have_the_names_that_alerts_know_and_link_each_other() -> None:
    assert {page.uid for page in PAGES} >= {annotations["dashboard"] for annotations in ALERTS.values()}
    for board in BOARDS:
        (others,) = [link for link in board["links"] if link["type"] == "dashboards"]
        assert set(others["tags"]) <= set(board["tags"])
        assert (others["keepTime"], others["includeVars"]) == (True, True)


@on_each_panel
def test_a_panel_says_what_it_shows_in_which_unit_and_from_where_on_it_is_bad(page: Page, panel: Panel) -> None:
    del page
    assert len(panel.description) > len(panel.title)
    assert panel.description.endswith((".", ")."))
    assert panel.unit
    assert panel.queries
    assert panel.thresholds[0][0] is None
    values = [value for value, _ in panel.thresholds[1:]]
    assert values == sorted(value for value in values if value is not None)


def test_no_two_panels_of_a_dashboard_have_one_title_or_one_id() -> None:
    for board in BOARDS:
        everything = [(panel["title"], panel["id"]) for panel in grafana.panels(board)]
        for names in zip(*everything, strict=True):
            assert len(names) == len(set(names))


@on_each_query
def test_a_query_asks_for_metrics_that_there_are(asked: grafana.Asked) -> None:
    assert metrics(asked.query) - KNOWN == set()


def test_each_metric_of_the_gateway_is_on_a_panel() -> None:
    shown = {GATEWAY[name].name for asked in QUERIES for name in metrics(asked.query) & GATEWAY.keys()}
    assert {family.name for family in CATALOGUE} - shown == set()


def test_a_misspelt_metric_is_noticed() -> None:
    query = next(asked.query for asked in QUERIES if "gateway_requests_total" in asked.query)
    assert metrics(query.replace("requests", "reqeusts")) - KNOWN == {"gateway_reqeusts_total"}


@on_each_query
def test_a_query_asks_for_labels_that_its_metrics_have(asked: grafana.Asked) -> None:
    asked_for = [selector.partition("{") for selector in selectors(asked.query)]
    families = [GATEWAY.get(name) for name, _, _ in asked_for]
    for family, (_, _, matchers) in zip(families, asked_for, strict=True):
        if family is not None:
            assert set(MATCHERS.findall(matchers)) - {*family.labels, *GIVEN_BY_SCRAPES} == set()
    if all(families):
        had = {label for family in families if family is not None for label in family.labels} | GIVEN_BY_SCRAPES
        wanted = {label.strip() for labels in LABELS.findall(asked.query) for label in labels.split(",")}
        assert wanted - had == set()


@pytest.mark.parametrize("board", BOARDS, ids=[board["uid"] for board in BOARDS])
def test_variables_are_used_and_those_used_are_there(board: Mapping[str, Any]) -> None:
    chosen = {choice.name: choice.everything for choice in grafana.choices(board)}
    queries = [asked.query for asked in grafana.asked(board)]
    for query in queries:
        grafana.filled_in(query, chosen, 60, 15)
    assert [name for name in chosen if not any(f"${name}" in query for query in queries)] == []
    assert {panel["datasource"]["uid"] for panel in grafana.panels(board)} == {"${datasource}"}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_linked_from_a_panel_of_the_dashboard_that_it_names(alert: str) -> None:
    there = [panel for page, panel in PANELS if page.uid == ALERTS[alert]["dashboard"]]
    assert any(alert in panel.alerts for panel in there)


@on_each_panel
def test_a_panel_links_to_alerts_that_there_are_and_to_their_runbooks(page: Page, panel: Panel) -> None:
    assert set(panel.alerts) - ALERTS.keys() == set()
    for alert in panel.alerts:
        anchor = f"#{kebab(alert)}"
        assert ALERTS[alert]["runbook_url"].endswith(f"runbooks.md{anchor}")
        assert runbook_of(alert) in set(links_of(page, panel))


def links_of(page: Page, panel: Panel) -> Iterator[str]:
    """Where a panel leads, as its file says."""
    board = next(board for board in BOARDS if board["uid"] == page.uid)
    (drawn,) = [one for one in grafana.panels(board) if one["title"] == panel.title]
    yield from (link["url"] for link in drawn["links"])


@pytest.mark.parametrize(
    ("alert", "anchor"),
    [("GatewayDown", "gateway-down"), ("TTFTBurnFast", "ttft-burn-fast"), ("GPUXid", "gpu-xid")],
)
def test_an_alerts_anchor_is_its_name_in_small_letters(alert: str, anchor: str) -> None:
    assert kebab(alert) == anchor


def test_the_readme_shows_the_preview_and_says_what_it_is() -> None:
    said = (ROOT / "README.md").read_text()
    assert f"({PICTURE.relative_to(ROOT)})" in said
    assert "not by Grafana" in said
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
    assert PICTURE.stat().st_size < MOST_BYTES
