"""What does the overview look like? Its panels, drawn by matplotlib from what Prometheus has of a run."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.monitoring.check import grafana
from tests.monitoring.check.questions import DASHBOARDS
from tests.monitoring.check.run import Run
from tests.monitoring.check.server import SCRAPE_SECS

BOARD = "gateway-overview"
NOTE = "preview, drawn by matplotlib, not by Grafana"
ROWS, COLUMNS = 5, 3
"""The first fifteen graphs; what stands around the gateway is not drawn."""
HEAD_ROWS = 0.4
WIDTH_INCHES, ROW_INCHES, DOTS_PER_INCH = 13.5, 2.5, 66
MOST_LINES = 8
"""In a panel's legend: the highest ones, as there is no scrolling in a picture."""
ROOM_FOR_NAMES = 1.35
"""How much higher than its lines a graph is: the legend stands above them."""
SMALL = 7
GRID_COLOUR, NOTE_COLOUR, FIGURE_COLOUR = "#dddddd", "#888888", "#1f60c4"
SCALES = {
    "s": (1000, "ms"),
    "percentunit": (100, "%"),
    "dtdurations": (1 / 86400, "days"),
    "reqps": (1, "a second"),
    "cps": (1, "a second"),
}
"""By Grafana's unit: what to multiply with, and what it is then."""

Series = tuple[str, list[tuple[float, float]]]
"""What it is called, and its course: seconds of the run, and figures."""


def draw(run: Run, file: Path) -> None:
    """Write the picture; needs matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- not among what a developer needs

    board = next(board for board in grafana.boards(DASHBOARDS) if board["uid"] == BOARD)
    drawn = [(panel, found) for panel in grafana.panels(board) if (found := _courses(run, board, panel))]
    figures = [pair for pair in drawn if pair[0]["type"] == "stat"]
    graphs = [pair for pair in drawn if pair[0]["type"] != "stat"][: ROWS * COLUMNS]
    figure = Figure(figsize=(WIDTH_INCHES, ROW_INCHES * (ROWS + HEAD_ROWS)), layout="constrained")
    head, body = figure.subfigures(2, 1, height_ratios=[HEAD_ROWS, ROWS])
    figure.suptitle(f"{board['title']}, {run.span:.0f} s of the check ({NOTE})", color=NOTE_COLOUR)
    for axes, pair in zip(head.subplots(1, len(figures)), figures, strict=True):
        _number(axes, *pair)
    for axes, pair in zip(body.subplots(ROWS, COLUMNS).flatten(), graphs, strict=True):
        _graph(axes, *pair)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=DOTS_PER_INCH, pil_kwargs={"optimize": True})


def _courses(run: Run, board: Mapping[str, Any], panel: Mapping[str, Any]) -> list[Series]:
    chosen = {choice.name: choice.everything for choice in grafana.choices(board)}
    found: list[Series] = []
    for target in panel["targets"]:
        query = grafana.filled_in(target["expr"], chosen, run.span, SCRAPE_SECS)
        found += [
            (_legend(target["legendFormat"], series["metric"]), _since(run.start, series["values"]))
            for series in run.prometheus.course(query, run.start, run.end)
        ]
    return found


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), form)


def _since(start: float, values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(at - start, value) for at, value in values]


def _number(axes: Any, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    scale, unit = _scale(panel)
    axes.set_axis_off()
    axes.set_title(panel["title"], fontsize=SMALL + 1)
    last = found[0][1][-1][1] * scale
    axes.text(0.5, 0.4, f"{last:,.4g} {unit}", ha="center", va="center", fontsize=15, color=FIGURE_COLOUR)


def _graph(axes: Any, panel: Mapping[str, Any], found: Sequence[Series]) -> None:
    scale, unit = _scale(panel)
    highest = sorted(found, key=lambda series: -max(value for _, value in series[1]))
    if panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal":
        _stack(axes, highest, scale)
    else:
        for name, course in highest:
            axes.plot([at for at, _ in course], [value * scale for _, value in course], linewidth=1, label=name)
    axes.set_title(panel["title"], fontsize=SMALL + 2)
    axes.set_ylabel(unit, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.set_ylim(0, axes.get_ylim()[1] * ROOM_FOR_NAMES)
    axes.grid(color=GRID_COLOUR, linewidth=0.5)
    shown, names = axes.get_legend_handles_labels()
    axes.legend(shown[:MOST_LINES], names[:MOST_LINES], fontsize=SMALL - 1, frameon=False, loc="upper left", ncols=2)


def _stack(axes: Any, found: Sequence[Series], scale: float) -> None:
    """One on top of the other; a series is nothing where it has no figure."""
    times = sorted({at for _, course in found for at, _ in course})
    known = [dict(course) for _, course in found]
    axes.stackplot(
        times,
        [[course.get(at, 0) * scale for at in times] for course in known],
        labels=[name for name, _ in found],
        alpha=0.7,
    )


def _scale(panel: Mapping[str, Any]) -> tuple[float, str]:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    return SCALES.get(unit, (1, "" if unit in {"none", "short"} else unit))
