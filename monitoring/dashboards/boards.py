"""What have all dashboards in common? How they are found, how they behave, and how their files are written."""

import orjson
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from monitoring.dashboards.links import TAG, to_the_others, to_traces


def empty_board(title: str, uid: str, description: str) -> Dashboard:
    """Grafana's builder of a dashboard that has no panels yet."""
    board = Dashboard(title).uid(uid).description(description).tags([TAG]).timezone("browser")
    # Provisioned: a change made by hand would be lost with the next start, so that none can be made.
    board.readonly().tooltip(DashboardCursorSync.CROSSHAIR).time("now-1h", "now")
    return board.link(to_the_others()).link(to_traces())


def encoded(board: Dashboard) -> bytes:
    """The file that Grafana loads."""
    whole = orjson.loads(JSONEncoder(sort_keys=True).encode(board.build()))
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
