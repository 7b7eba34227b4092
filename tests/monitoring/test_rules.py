"""Do alerts fire when they should, and only then? What promtool says of the rules, and what each alert must bring."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.rules import PROMETHEUS, ROOT, TESTS, kebab, rules
from tests.support.promtool import run_tool

ALERTS = rules("alerts")
NAMES = sorted({rule["alert"] for rule in ALERTS})
DASHBOARDS = {"gateway-overview", "gateway-organizations", "gateway-backends", "gateway-gateway"}
TEST_SECS = 280
"""promtool evaluates all rules for hours and days of samples, which takes half a minute on a machine that has time."""


def test_prometheus_takes_its_configuration_and_its_rules() -> None:
    answer = run_tool("promtool", "check", "config", "prometheus.yml", cwd=PROMETHEUS)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "rules found" in answer.stdout


@pytest.mark.timeout(TEST_SECS + 10)
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    answer = run_tool("promtool", "test", "rules", path.name, cwd=path.parent, seconds=TEST_SECS)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_alert_fires_in_one_test_and_almost_fires_in_another() -> None:
    outcomes: dict[str, set[bool]] = defaultdict(set)
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            assert any(series["values"] for series in test["input_series"]), test["name"]
            for asked in test["alert_rule_test"]:
                assert test["name"].startswith(f"{asked['alertname']}: ")
                outcomes[asked["alertname"]].add(bool(asked["exp_alerts"]))
    assert {name: outcomes[name] for name in NAMES} == {name: {True, False} for name in NAMES}
    assert set(outcomes) == set(NAMES)


def test_what_almost_fires_has_the_series_that_the_alert_reads() -> None:
    """A near miss by a misspelt series would be none."""
    for path in TESTS:
        fired: dict[str, set[str]] = defaultdict(set)
        missed: dict[str, set[str]] = defaultdict(set)
        for test in yaml.safe_load(path.read_text())["tests"]:
            names = {re.split(r"[{\s]", series["series"])[0] for series in test["input_series"]}
            for asked in test["alert_rule_test"]:
                (fired if asked["exp_alerts"] else missed)[asked["alertname"]] |= names
        assert {name: names & fired[name] for name, names in missed.items()} == dict(missed)


@pytest.mark.parametrize("rule", ALERTS, ids=[f"{rule['alert']}-{rule['labels']['severity']}" for rule in ALERTS])
def test_an_alert_says_what_is_wrong_how_much_and_where_to_look(rule: dict[str, Any]) -> None:
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url", "dashboard"}
    assert "{{" not in notes["summary"]
    assert len(notes["summary"]) < 100
    assert notes["runbook_url"] == f"docs/runbooks.md#{kebab(rule['alert'])}"
    assert notes["dashboard"] in DASHBOARDS
    assert (ROOT / "monitoring/grafana/dashboards" / f"{notes['dashboard'].removeprefix('gateway-')}.json").exists()


def test_an_alert_tells_its_values() -> None:
    without = {rule["alert"] for rule in ALERTS if "{{" not in rule["annotations"]["description"]}
    assert without == {"LimitsSplit"}  # true or not, of all hosts together
