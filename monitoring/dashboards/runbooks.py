"""What is to be done about an alert? docs/runbooks.md as a dashboard, whose links lead no further than this Grafana."""

import posixpath
import re
from collections.abc import Mapping
from math import ceil

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.builders.text import Panel as Text
from grafana_foundation_sdk.models.text import TextMode

from monitoring.dashboards.boards import empty_board
from monitoring.dashboards.sections import GROUP, UID, Section, by_anchor

FILE = "runbooks"
TITLE = "Gateway: runbooks"
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
FOLDER = "docs"
"""Where the page stands, from which its links to other files begin."""
WIDTH = 24
"""Of Grafana's 24 columns."""
LETTERS = 160
"""That stand in one line of a panel of that width, on a small screen."""
FRAME_ROWS, ROWS_A_LINE = 2, 0.7
"""Rows of Grafana's grid, 38 pixels each, that a panel's headline and a line of its text take."""


def build(page: str) -> Dashboard:
    """The dashboard of a page in Markdown."""
    board = empty_board(TITLE, UID, "What each alert means and what to do then: docs/runbooks.md, section by section.")
    known = by_anchor(page)
    for section in known.values():
        if section.level == GROUP:
            board.with_row(Row(section.title).id(section.number))
        else:
            board.with_panel(_panel(section, known))
    return board


def shown(text: str, known: Mapping[str, Section]) -> str:
    """The text as Grafana is to show it: links to sections lead to their panels, those to files name the files."""

    def mended(link: re.Match[str]) -> str:
        words, target = link.groups()
        path, _, anchor = target.partition("#")
        if "://" in target:
            return link[0]
        if not path:
            return f"[{words}]({known[anchor].url})"
        file = posixpath.normpath(posixpath.join(FOLDER, path))
        return f"`{file}`" if words in (path, file) else f"{words} (`{file}`)"

    return LINK.sub(mended, text)


def _panel(section: Section, known: Mapping[str, Section]) -> Text:
    text = shown(section.text, known)
    height = FRAME_ROWS + ceil(ROWS_A_LINE * lines_of(text))
    panel = Text().id(section.number).title(section.title).mode(TextMode.MARKDOWN).content(text)
    return panel.transparent(transparent=True).span(WIDTH).height(height)


def lines_of(text: str) -> int:
    """How many lines a text takes, with those of one paragraph or item run together."""
    blocks = re.sub(r"\n(?!\n|- |```)[ ]*", " ", text).splitlines()
    return sum(max(1, ceil(len(block) / LETTERS)) for block in blocks)
