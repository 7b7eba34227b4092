"""Where does a panel lead? To the alert that watches it, to that alert's runbook, and to the other dashboards."""

import re
from functools import cache
from urllib.parse import urlencode

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from monitoring.dashboards import sections

TAG = "gateway"
"""All dashboards of the gateway have it, and each links to all that do."""
TRACES = '{"gateway":{"datasource":"tempo","queries":[{"refId":"A","queryType":"traceqlSearch"}]}}'
"""What Grafana's Explore begins with: a search at the provisioned Tempo."""
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def kebab(alert: str) -> str:
    """An alert's name as the anchor of its section: `TTFTBurnFast` is `ttft-burn-fast`."""
    return _BOUNDARY.sub("-", alert).lower()


def of_alert(alert: str) -> list[DashboardLink]:
    """A panel's links to the alert and to what to do about it."""
    state = DashboardLink(f"Alert: {alert}").url(f"/alerting/list?search=rule:{alert}")
    runbook = DashboardLink(f"Runbook: {alert}").url(runbook_of(alert))
    return [link.type(DashboardLinkType.LINK).target_blank(target_blank=True) for link in (state, runbook)]


@cache
def runbook_of(alert: str) -> str:
    """Where Grafana shows what to do about an alert."""
    return sections.by_anchor(sections.PAGE.read_text("utf-8"))[kebab(alert)].url


def to_the_others() -> DashboardLink:
    """A link to each dashboard of the gateway, which keeps the time and the choices."""
    link = _in_sight(DashboardLink("Gateway").type(DashboardLinkType.DASHBOARDS).tags([TAG]))
    return link.keep_time(keep_time=True).include_vars(include_vars=True)


def to_traces() -> DashboardLink:
    """A link to the search for traces, of which there are some where OTEL_TRACES_ENABLED is set."""
    url = f"/explore?{urlencode({'schemaVersion': 1, 'panes': TRACES})}"
    link = _in_sight(DashboardLink("Traces").type(DashboardLinkType.LINK).icon("search").url(url))
    return link.keep_time(keep_time=True)


def _in_sight(link: DashboardLink) -> DashboardLink:
    """The SDK would have it in a menu that nobody opens; any other word puts it at the dashboard's head."""
    return link.placement("")
