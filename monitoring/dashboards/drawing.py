"""How does a row of the table become a panel of Grafana's? The one place that knows how panels look."""

from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from monitoring.dashboards.links import of_alert
from monitoring.dashboards.table import Colour, Kind, Panel, Query

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
FIGURE_SIZE, SIZE = (4, 4), (8, 8)
"""Columns, of which there are 24, and rows of Grafana's grid."""
AREA, STACKED_AREA, STATE_AREA = 8, 40, 80
"""How far what a line bounds is filled, in percent."""

Drawn = Timeseries | Stat | StateTimeline


def draw(panel: Panel, number: int) -> Drawn:
    """Grafana's builder of a panel; `number` is its id within the dashboard."""
    drawn = _KINDS[panel.kind](panel)
    width, height = FIGURE_SIZE if panel.kind is Kind.FIGURE else SIZE
    drawn.id(number).title(panel.title).description(panel.description).datasource(SOURCE).unit(panel.unit)
    drawn.span(width).height(height).thresholds(_thresholds(panel))
    if panel.top is not None:
        drawn.max(panel.top)
    if panel.alerts:
        drawn.links([link for alert in panel.alerts for link in of_alert(alert)])
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        drawn.with_target(_target(query, letter))
    return drawn


def _lines(panel: Panel) -> Timeseries:
    stacked = panel.kind is Kind.STACKED
    limited = len(panel.thresholds) > 1
    drawn = Timeseries().min(0).line_width(1).fill_opacity(STACKED_AREA if stacked else AREA)
    drawn.show_points(VisibilityMode.NEVER)
    drawn.stacking(common.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE))
    # A dashed line where it begins to be bad; the lines themselves are told apart by colour.
    style = GraphThresholdsStyleMode.DASHED if limited and not stacked else GraphThresholdsStyleMode.OFF
    drawn.thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
    drawn.color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    drawn.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    return drawn.legend(_legend(["mean", "max", "lastNotNull"]))


def _figure(panel: Panel) -> Stat:
    latest = panel.queries[0].instant
    drawn = Stat().color_mode(BigValueColorMode.VALUE)
    drawn.graph_mode(BigValueGraphMode.NONE if latest else BigValueGraphMode.AREA)
    # What a label says is shown by its series' name.
    drawn.text_mode(BigValueTextMode.NAME if latest and panel.queries[0].legend else BigValueTextMode.AUTO)
    return drawn.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def _states(panel: Panel) -> StateTimeline:
    worded = {str(code): _word(*state) for code, state in enumerate(panel.states, 1)}
    drawn = StateTimeline().mappings([_mapping(worded)]).fill_opacity(STATE_AREA).row_height(0.9)
    return drawn.show_value(VisibilityMode.NEVER).merge_values(merge_values=True).legend(_legend([]))


def _word(text: str, colour: Colour) -> ValueMappingResult:
    return ValueMappingResult(text=text, color=colour)


def _mapping(worded: Mapping[str, ValueMappingResult]) -> ValueMapping:
    return ValueMap(options=dict(worded))


_KINDS: Mapping[Kind, Callable[[Panel], Drawn]] = {
    Kind.LINES: _lines,
    Kind.STACKED: _lines,
    Kind.FIGURE: _figure,
    Kind.STATES: _states,
}


def _legend(figures: Sequence[str]) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().placement(LegendPlacement.BOTTOM).show_legend(show_legend=True)
    return legend.display_mode(LegendDisplayMode.TABLE if figures else LegendDisplayMode.LIST).calcs(list(figures))


def _thresholds(panel: Panel) -> ThresholdsConfig:
    steps = [Threshold(value=value, color=colour) for value, colour in panel.thresholds]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _target(query: Query, letter: str) -> Dataquery:
    target = Dataquery().ref_id(letter).datasource(SOURCE).expr(query.expr).legend_format(query.legend or "__auto")
    return target.instant() if query.instant else target.range()
