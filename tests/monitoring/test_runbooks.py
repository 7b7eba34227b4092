"""Tests of the runbooks in Grafana: every section is a panel, and every link leads somewhere within that Grafana."""

import re
from math import ceil

import pytest

from monitoring.dashboards import runbooks, sections
from monitoring.dashboards.links import kebab, runbook_of
from monitoring.dashboards.pages import FOLDER, files
from tests.monitoring.check import grafana
from tests.monitoring.rules import rules

PAGE = sections.PAGE.read_text("utf-8")
(BOARD,) = (board for board in grafana.boards(FOLDER) if board["uid"] == sections.UID)
PANELS = {panel["id"]: panel for panel in grafana.panels(BOARD)}
LINKS = re.compile(r"\]\(([^)]*)\)")


def test_the_file_is_what_the_page_says() -> None:
    assert (FOLDER / f"{runbooks.FILE}.json").read_bytes() == files()[runbooks.FILE], "run: make dashboards"


@pytest.mark.parametrize("alert", sorted({rule["alert"] for rule in rules("alerts")}))
def test_the_link_of_an_alert_leads_to_its_section(alert: str) -> None:
    link = re.fullmatch(r"/d/([\w-]+)\?viewPanel=panel-(\d+)", runbook_of(alert))
    assert link is not None
    panel = PANELS[int(link[2])]
    assert link[1] == BOARD["uid"]
    assert panel["title"].lower().replace(" ", "-") == kebab(alert)
    assert f"`{alert}`" in panel["options"]["content"].splitlines()[0]
    assert f"alertname={alert}" in panel["options"]["content"]


def test_no_two_sections_have_one_number() -> None:
    found = sections.sections(PAGE)
    assert len({section.number for section in found}) == len(found)


def test_no_link_leaves_grafana_but_for_addresses_of_the_same_host() -> None:
    targets = [target for panel in PANELS.values() for target in LINKS.findall(panel["options"]["content"])]
    assert len(targets) > 5
    numbers = [re.fullmatch(rf"/d/{sections.UID}\?viewPanel=panel-(\d+)", target) for target in targets]
    assert [target for target, found in zip(targets, numbers, strict=True) if found is None] == []
    assert {int(found[1]) for found in numbers if found} <= PANELS.keys()


def test_nothing_of_the_page_is_left_out_but_the_links_to_files() -> None:
    def words(text: str) -> list[str]:
        return re.findall(r"[A-Za-z0-9]+", LINKS.sub("", re.sub(r"\(`docs/[^`]*`\)", "", text)))

    shown = {panel["title"]: panel["options"]["content"] for panel in PANELS.values()}
    for section in sections.sections(PAGE):
        if section.level != sections.GROUP and "](../" not in section.text and ".md)" not in section.text:
            assert words(shown[section.title]) == words(section.text)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("see [down](#gateway-down)", "see [down](/d/U?viewPanel=panel-N)"),
        ("[x](https://x.y/z#a)", "[x](https://x.y/z#a)"),
        ("([data.md](data.md#backup)).", "(`docs/data.md`)."),
        ("([record\n  23](decisions/0023-compose.md))", "(record\n  23 (`docs/decisions/0023-compose.md`))"),
        ("[how](../monitoring/alertmanager/README.md)", "how (`monitoring/alertmanager/README.md`)"),
    ],
)
def test_a_link_is_one_that_grafana_can_follow_or_the_name_of_a_file(written: str, expected: str) -> None:
    known = sections.by_anchor("# Page\n\n## Gateway down\ntext\n")
    wanted = expected.replace("/d/U", f"/d/{sections.UID}").replace("-N)", f"-{known['gateway-down'].number})")
    assert runbooks.shown(written, known) == wanted


def test_a_panel_is_as_high_as_its_text() -> None:
    for panel in PANELS.values():
        lines = runbooks.lines_of(panel["options"]["content"])
        assert panel["gridPos"]["h"] == runbooks.FRAME_ROWS + ceil(runbooks.ROWS_A_LINE * lines)
    assert runbooks.lines_of("- one\n  and the rest of it\n- two") == 2
    assert runbooks.lines_of("x" * 161) == 2
