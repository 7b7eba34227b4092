"""Who is told? What amtool says of both configurations, and that they speak of alerts that exist."""

import re
from typing import Any

import pytest
import yaml

from tests.monitoring.rules import ROOT, rules
from tests.support.promtool import run_tool

FOLDER = ROOT / "monitoring" / "alertmanager"
FILES = ("alertmanager.yml", "mail-and-webhook.yml")
ALERTS = {rule["alert"] for rule in rules("alerts")}


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


@pytest.mark.parametrize("name", FILES)
def test_alertmanager_takes_it(name: str) -> None:
    answer = run_tool("amtool", "check-config", name, cwd=FOLDER)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_nobody_is_told_by_default() -> None:
    assert read("alertmanager.yml")["receivers"] == [{"name": "nobody"}]


def test_no_secret_stands_in_the_example() -> None:
    text = (FOLDER / "mail-and-webhook.yml").read_text()
    assert re.findall(r"(?:password|credentials|token)(?:_file)?:", text) == ["password_file:", "credentials_file:"]


@pytest.mark.parametrize(("severity", "receiver"), [("page", "pages"), ("ticket", "tickets")])
def test_pages_and_tickets_go_their_own_ways(severity: str, receiver: str) -> None:
    answer = run_tool(
        "amtool", "config", "routes", "test", "--config.file=mail-and-webhook.yml", f"severity={severity}", cwd=FOLDER
    )
    assert (answer.returncode, answer.stdout.strip()) == (0, receiver)


@pytest.mark.parametrize("name", FILES)
def test_a_gateway_that_does_not_answer_keeps_nothing_of_another_back(name: str) -> None:
    (rule,) = (rule for rule in read(name)["inhibit_rules"] if rule["source_matchers"] == ["alertname = GatewayDown"])
    assert rule["equal"] == ["instance"]


@pytest.mark.parametrize("name", FILES)
def test_what_is_kept_back_for_another_alert_exists(name: str) -> None:
    inhibitions = read(name)["inhibit_rules"]
    said = [matcher for rule in inhibitions for matcher in rule["source_matchers"] + rule["target_matchers"]]
    spoken = set(re.findall(r"[A-Z]\w+", " ".join(said)))
    assert len(spoken) > 5
    assert spoken <= ALERTS
    assert inhibitions == read(FILES[0])["inhibit_rules"]
