"""How are queries put together? The few shapes that the panels' PromQL has."""

from collections.abc import Sequence

from monitoring.dashboards.table import Query

WINDOW = "[$__rate_interval]"
"""Grafana's: at least four scrapes, and as wide as a pixel when much time is shown."""
USUAL_QUANTILES = (0.5, 0.95, 0.99)


def per_second(counter: str, *by: str, where: str = "") -> str:
    """How fast a counter rises, added up by labels."""
    return f"sum{_by(by)}(rate({counter}{_where(where)}{WINDOW}))"


def added(gauge: str, *by: str, where: str = "") -> str:
    """A gauge, added up by labels: over workers' hosts, if there are several."""
    return f"sum{_by(by)}({gauge}{_where(where)})"


def worst(gauge: str, *by: str, where: str = "") -> str:
    """A gauge's highest figure by labels: of several gateways the one that is worst off."""
    return f"max{_by(by)}({gauge}{_where(where)})"


def share(part: str, whole: str) -> str:
    """A part of a whole, from 0 to 1; no figure while there is no whole."""
    return f"{part} / ({whole} > 0)"


def quantile(histogram: str, wanted: float, *by: str, where: str = "") -> str:
    """A quantile of a histogram's observations in the window, by labels."""
    return f"histogram_quantile({wanted:g}, {per_second(f'{histogram}_bucket', *by, 'le', where=where)})"


def quantiles(
    histogram: str, *by: str, where: str = "", wanted: Sequence[float] = USUAL_QUANTILES
) -> tuple[Query, ...]:
    """A line for each quantile, and for each value of the labels."""
    prefix = "".join(f"{{{{{label}}}}} " for label in by)
    return tuple(Query(quantile(histogram, one, *by, where=where), f"{prefix}p{one * 100:g}") for one in wanted)


def coded(gauge: str, label: str, words: Sequence[str], *by: str, where: str = "") -> str:
    """One figure for what a gauge says by a label of which one value at a time is 1: the word's place, from 1 on."""
    before = f"{where}, " if where else ""
    places = [f'{place} * {gauge}{{{before}{label}="{word}"}}' for place, word in enumerate(words, 1)]
    each = " or ".join(places)
    # Words differ in the label, so that `or` keeps them all, and all but one are 0; of several gateways the worst.
    return f"max{_by(by)}(sum{_by((*by, 'instance'))}({each}))"


def _by(labels: Sequence[str]) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
