"""Tests of docs/runbooks.md: a section for each alert, and nothing in it that is not there."""

import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from gateway.cli import COMMANDS
from gateway.settings import names
from tests.monitoring.rules import kebab, rules
from tests.observability.test_event_names import events

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "runbooks.md").read_text()
ALERTS = {rule["alert"]: [one for one in rules("alerts") if one["alert"] == rule["alert"]] for rule in rules("alerts")}
PARTS = ("Means", "Noticed by", "Look", "Causes", "Do", "Silence")


def anchor(title: str) -> str:
    """The link to a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


def sections() -> dict[str, str]:
    """Each third-level section by its anchor."""
    marks = [*re.finditer(r"^#{2,3} (.+)$", PAGE, re.MULTILINE), None]
    found = {}
    for mark, following in pairwise(marks):
        assert mark is not None
        if mark[0].startswith("### "):
            found[anchor(mark[1])] = PAGE[mark.end() : following.start() if following else len(PAGE)]
    return found


SECTIONS = sections()


def dashboards() -> dict[str, tuple[str, set[str]]]:
    """Title and panels of each dashboard, by its uid."""
    found = {}
    for file in (ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json"):
        content = msgspec.json.decode(file.read_bytes())
        rows = [*content["panels"], *(panel for row in content["panels"] for panel in row.get("panels", []))]
        found[content["uid"]] = content["title"], {panel["title"] for panel in rows}
    return found


DASHBOARDS = dashboards()


def test_each_alert_has_its_section_and_each_section_its_alert() -> None:
    assert sorted(SECTIONS) == sorted(map(kebab, ALERTS))


@pytest.mark.parametrize("alert", ALERTS)
def test_a_section_says_everything_that_somebody_who_was_woken_needs(alert: str) -> None:
    text = SECTIONS[kebab(alert)]
    assert re.findall(r"^- \*\*(.+?)\*\*: \S", text, re.MULTILINE) == list(PARTS)
    assert f"alertname={alert}" in text.partition("- **Silence**")[2]


@pytest.mark.parametrize("alert", ALERTS)
def test_a_section_begins_with_what_the_rule_says(alert: str) -> None:
    head = SECTIONS[kebab(alert)].strip().splitlines()[0]
    severities = ", ".join(sorted({rule["labels"]["severity"] for rule in ALERTS[alert]}))
    (uid,) = {rule["annotations"]["dashboard"] for rule in ALERTS[alert]}
    title, panels = DASHBOARDS[uid]
    said = re.fullmatch(r"`(\w+)` · (.+?) · \*(.+)\* on (.+)", head)
    assert said is not None
    assert (said[1], said[2], said[4]) == (alert, severities, title)
    assert said[3] in panels


def test_every_panel_that_is_spoken_of_is_there() -> None:
    there = {panel for _, panels in DASHBOARDS.values() for panel in panels}
    spoken = {" ".join(name.split()) for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", PAGE)}
    assert len(spoken) > 20
    assert spoken - there == set()


def test_every_command_is_there() -> None:
    code = re.findall(r"`([^`\n]+)`", PAGE)
    said = [re.match(r"gateway ([a-z]+)(?: ([a-z]+))?", one) for one in code]
    spoken = {(one[1], one[2]) for one in said if one}
    assert {command for command, _ in spoken} <= set(COMMANDS)
    for command, part in spoken - {("check", None), ("reload", None), ("state", None)}:
        group = (ROOT / "gateway" / "cli" / f"{command}.py").read_text()
        assert part is None or f"def {part}(" in group or f'"{part}"' in group, f"{command} {part}"


def test_every_setting_log_event_and_outcome_that_is_spoken_of_is_one() -> None:
    settings = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", PAGE))
    assert settings - {*names(), "ALERTMANAGER_DIR", "CHAT_VLLM_ARGS"} == set()
    code = {path: path.read_text() for path in (ROOT / "gateway").rglob("*.py")}
    written = {event for text in code.values() for event in events(text)}
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", PAGE))
    assert len(words) > 20
    everything = "\n".join(code.values())
    assert [word for word in words - written if f'"{word}"' not in everything] == []


def test_what_is_linked_is_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, part = target.partition("#")
        page = ROOT / "docs" / path if path else ROOT / "docs" / "runbooks.md"
        assert page.exists(), target
        if part:
            titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert part in {anchor(title) for title in titles}, target
