"""What does it look like? A few small pictures of the figures, one bar a peer, its spread as a line through the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.table import OURS, Row, Spread, short, spreads

WIDTH_INCHES, INCHES_A_BAR, FRAME_INCHES = 7.5, 0.21, 1.1
DOTS_PER_INCH = 80
WIDE_RANGE = 30
"""From here on, largest by smallest, the scale is logarithmic: else the small ones cannot be told apart."""
OUR_COLOUR, THEIR_COLOUR, LINE_COLOUR = "#1f6f8b", "#b8bec4", "#333333"
mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})


@dataclass(frozen=True)
class Plot:
    """A picture.

    Args:
        name: of its file.
        title: above it; says the unit.
        figures: by their label in the picture; each is a group of bars.
    """

    name: str
    title: str
    figures: Mapping[str, str]


PLOTS = (
    Plot(
        "cpu-per-request",
        "CPU per JSON request, us, by connections (less is better)",
        {f"c={count}": f"JSON c={count}: CPU us/request" for count in (1, 32, 256)},
    ),
    Plot(
        "cpu-per-event",
        "CPU per streamed event, us (less is better)",
        {
            "burst, 32 streams": "SSE burst c=32: CPU us/event",
            "paced, 200 streams": "SSE paced c=200: CPU us/event",
            "paced, 1,000 streams": "SSE paced c=1000: CPU us/event",
        },
    ),
    Plot(
        "stream-times",
        "200 paced streams, ms (less is better)",
        {"first event, p50": "SSE paced c=200: first event p50 ms", "lag, p99": "SSE paced c=200: lag p99 ms"},
    ),
    Plot(
        "large-bodies",
        "CPU per request with large bodies, us (less is better)",
        {
            "chat, 500 KB sent": "chat body 500 KB: CPU us/request",
            "embeddings, 1 MB received": "embeddings x256: CPU us/request",
            "the same once more": "embeddings x256, again: CPU us/request",
        },
    ),
    Plot(
        "memory",
        "Memory (less is better)",
        {
            "idle, MiB": "memory MiB idle",
            "at its peak, MiB": "memory MiB peak",
            "for each of 1,000 streams, KiB": "SSE paced c=1000: memory KiB/stream",
        },
    ),
    Plot(
        "workers",
        "JSON requests/s by number of workers, 128 connections (more is better)",
        {
            f"{count} worker{'s' if count > 1 else ''}": f"JSON c=128, workers={count}: requests/s"
            for count in (1, 2, 4)
        },
    ),
)


def draw(rows: Sequence[Row], folder: Path) -> dict[str, str]:
    """Write a file for every plot that has figures; returns their titles by the files' names."""
    seen = spreads(rows)
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for plot in PLOTS:
        groups = {label: seen.get(figure, {}) for label, figure in plot.figures.items() if seen.get(figure)}
        if groups:
            file = f"{plot.name}.png"
            _picture(plot.title, groups, peers).savefig(folder / file, dpi=DOTS_PER_INCH)
            drawn[file] = plot.title
    return drawn


def _picture(title: str, groups: Mapping[str, Mapping[str, Spread]], peers: Sequence[str]) -> Figure:
    """Bars from top to bottom: a group a figure, in it a bar a peer that has one."""
    bars = [(label, peer, found[peer]) for label, found in groups.items() for peer in peers if peer in found]
    places = _places(bars)
    figure = Figure(figsize=(WIDTH_INCHES, FRAME_INCHES + INCHES_A_BAR * max(places)), layout="constrained")
    axes = figure.subplots()
    medians = [spread.median for *_, spread in bars]
    reach = [[spread.median - spread.low for *_, spread in bars], [spread.high - spread.median for *_, spread in bars]]
    colours = [OUR_COLOUR if peer == OURS else THEIR_COLOUR for _, peer, _ in bars]
    axes.barh(places, medians, color=colours, xerr=reach, error_kw={"ecolor": LINE_COLOUR, "elinewidth": 1})
    for place, (_, _, spread) in zip(places, bars, strict=True):
        axes.annotate(short(spread.median), (spread.high, place), (4, 0), textcoords="offset points", va="center")
    for label in groups:
        first = next(place for place, bar in zip(places, bars, strict=True) if bar[0] == label)
        axes.annotate(label, (0, first - 1), xycoords=("axes fraction", "data"), va="center", weight="bold")
    axes.set_yticks(places, [peer for _, peer, _ in bars])
    axes.set_ylim(max(places) + 0.7, min(places) - 1.5)
    axes.set_title(title, loc="left")
    positive = [median for median in medians if median > 0]
    if positive and max(positive) / min(positive) > WIDE_RANGE:
        axes.set_xscale("log")
        axes.set_xlabel("logarithmic")
    axes.margins(x=0.12)
    return figure


def _places(bars: Sequence[tuple[str, str, Spread]]) -> list[float]:
    """Where each bar stands: one below the other, with room for a label above each group."""
    places: list[float] = []
    place, group = 0.0, ""
    for label, _, _ in bars:
        place += 1 if label == group else 2
        group = label
        places.append(place)
    return places
