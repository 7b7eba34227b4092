"""What does Grafana ask Prometheus? The dashboards' queries, with the variables in them filled in as Grafana does."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
POINTS = 1000
"""About as many as a panel has pixels: more are not asked for."""
SCRAPES_IN_A_RATE = 4
"""Grafana's $__rate_interval is at least so many scrapes wide, so that each has two samples."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A query of a panel, or a variable's.

    Args:
        where: which dashboard, which panel, and which of its queries.
    """

    where: str
    query: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable: whose label's values may be chosen, and what `All` of them is in a query."""

    name: str
    metric: str
    label: str
    everything: str


def panels(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A dashboard's panels, without the headlines between them."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panels(panel)
        else:
            yield panel


def boards(folder: Path) -> list[Mapping[str, Any]]:
    """All dashboards of a folder."""
    return [orjson.loads(file.read_bytes()) for file in sorted(folder.glob("*.json"))]


def asked(board: Mapping[str, Any]) -> Iterator[Asked]:
    """Each query of each panel, with its variables still in it."""
    for panel in panels(board):
        for target in panel.get("targets", []):  # a text asks nothing
            yield Asked(f"{board['uid']}: {panel['title']} [{target['refId']}]", target["expr"])


def choices(board: Mapping[str, Any]) -> Iterator[Choice]:
    """The variables that are asked of Prometheus."""
    for variable in board["templating"].get("list", []):  # a dashboard of texts has none
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\(([\w:]+), (\w+)\)", variable["query"])
            if found is None:
                raise ValueError(f"{board['uid']}: the variable {variable['name']} asks {variable['query']!r}")
            yield Choice(variable["name"], found[1], found[2], variable["allValue"])


def filled_in(query: str, chosen: Mapping[str, str], span: float, scrape: float) -> str:
    """The query that Prometheus gets.

    Args:
        chosen: what stands for each variable.
        span: seconds that the dashboard shows.
        scrape: seconds between two scrapes, as the data source is told.

    Raises:
        KeyError: the query has a variable that the dashboard has not.
    """
    interval = max(scrape, span / POINTS)
    seconds = {
        "__interval": interval,
        "__rate_interval": max(interval + scrape, SCRAPES_IN_A_RATE * scrape),
        "__range": span,
    }
    known = {**chosen, **{name: f"{round(value)}s" for name, value in seconds.items()}}
    return VARIABLE.sub(lambda found: known[found[1] or found[2]], query)


def one_of_each(values: Mapping[str, list[str]]) -> dict[str, str]:
    """All values, chosen one by one: what Grafana puts into a query where several are chosen."""
    return {name: f"({'|'.join(map(_escaped, of))})" for name, of in values.items()}


def _escaped(value: str) -> str:
    """A value in a regular expression that stands in a text, whose own backslashes are doubled."""
    return re.sub(r"[$^*{}\[\]\\'+?.()|]", lambda found: "\\\\" + found[0], value)
