"""Which dashboards are there, and what is in their files?"""

from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from monitoring.dashboards import runbooks, sections
from monitoring.dashboards.backends import BACKENDS
from monitoring.dashboards.boards import empty_board, encoded
from monitoring.dashboards.drawing import SOURCE, draw
from monitoring.dashboards.gateway import GATEWAY
from monitoring.dashboards.organizations import ORGANIZATIONS
from monitoring.dashboards.overview import OVERVIEW
from monitoring.dashboards.table import Page, Variable

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"
PAGES = (OVERVIEW, ORGANIZATIONS, BACKENDS, GATEWAY)
ALL = ".*"
"""What `All` stands for: series without the label too, as a request that reached no model has none."""


def files() -> dict[str, bytes]:
    """What is in the folder: the file's name without its ending, and its content."""
    pages = {page.file: render(page) for page in PAGES}
    return {**pages, runbooks.FILE: encoded(runbooks.build(sections.PAGE.read_text("utf-8")))}


def render(page: Page) -> bytes:
    """The file that Grafana loads."""
    return encoded(build(page))


def build(page: Page) -> Dashboard:
    """Grafana's builder of a dashboard."""
    board = empty_board(page.title, page.uid, page.description).refresh("30s")
    board.with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for variable in page.variables:
        board.with_variable(_choice(variable))
    number = count(1)
    for section in page.sections:
        board.with_row(Row(section.title).id(next(number)))
        for panel in section.panels:
            board.with_panel(draw(panel, next(number)))
    return board


def _choice(variable: Variable) -> QueryVariable:
    query = f"label_values({variable.family}, {variable.label})"
    choice = QueryVariable(variable.name).label(variable.name.capitalize()).datasource(SOURCE).query(query)
    choice.multi(multi=True).include_all(include_all=True).all_value(ALL).current(
        VariableOption(text="All", value="$__all", selected=True)
    )
    # Asked for again when another time is looked at: what was there then may be gone now.
    return choice.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
