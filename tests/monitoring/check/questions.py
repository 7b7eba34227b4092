"""What is ever asked of Prometheus? The panels' queries, the alerts' and the records', and each metric in them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.check import grafana
from tests.monitoring.check.promql import selectors, widened
from tests.monitoring.check.server import ROOT, SCRAPE_SECS

DASHBOARDS = ROOT / "monitoring" / "grafana" / "dashboards"
RULES = ROOT / "monitoring" / "prometheus" / "rules"
WHOLE = "the whole of it"


@dataclass(frozen=True, slots=True)
class Question:
    """A query that must bring data.

    Args:
        where: the panel, the alert, the record.
        what: one selector of its query, or WHOLE.
    """

    where: str
    what: str
    query: str


def of_dashboards(span: float, folder: Path = DASHBOARDS) -> Iterator[Question]:
    """Each query of each panel, and each metric in it, with everything chosen that can be."""
    for board in grafana.boards(folder):
        chosen = {choice.name: choice.everything for choice in grafana.choices(board)}
        for asked in grafana.asked(board):
            yield from _of(asked.where, grafana.filled_in(asked.query, chosen, span, SCRAPE_SECS))


def of_choices(
    values: Mapping[grafana.Choice, list[str]], span: float, folder: Path = DASHBOARDS
) -> Iterator[Question]:
    """Each query that has a variable, with all that the variable offers chosen one by one."""
    for board in grafana.boards(folder):
        chosen = grafana.one_of_each({choice.name: values[choice] for choice in grafana.choices(board)})
        for asked in grafana.asked(board):
            if any(f"${name}" in asked.query for name in chosen):
                query = grafana.filled_in(asked.query, chosen, span, SCRAPE_SECS)
                yield Question(f"{asked.where} of {', '.join(chosen)}", WHOLE, query)


def of_rules(folder: Path = RULES) -> Iterator[Question]:
    """Each alert: what it looks at; each record: what it is made of, and that it is there."""
    for rule in rules(folder):
        if name := rule.get("alert"):
            yield from _of(f"alert {name}", rule["expr"], widened(rule["expr"]))
        else:
            yield from _of(f"record {rule['record']}", rule["expr"])
            yield Question(f"record {rule['record']}", "its own series", rule["record"])


def rules(folder: Path = RULES) -> Iterator[Mapping[str, Any]]:
    """All rules of all groups."""
    for file in sorted(folder.glob("*.yml")):
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]:
            yield from group["rules"]


def _of(where: str, query: str, whole: str = "") -> Iterator[Question]:
    """The whole query, and each of its metrics by itself, as `or` and the like would hide one that is not there."""
    yield Question(where, WHOLE, whole or query)
    for selector in selectors(query):
        yield Question(where, selector, selector)
