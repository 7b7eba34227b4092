"""What are the sections of docs/runbooks.md? Its headlines with their texts, and where Grafana shows each of them."""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "runbooks.md"
UID = "gateway-runbooks"
"""Of the dashboard that has the sections as its panels."""
HEADLINE = re.compile(r"^(#{1,3}) (.+)$", re.MULTILINE)
INTRODUCTION, GROUP, RUNBOOK = 1, 2, 3
"""Levels of headlines."""
NUMBERS = 1_000_000
"""Ids that panels may have; a test sees that no two sections have one."""


@dataclass(frozen=True, slots=True)
class Section:
    """A headline and what stands below it, until the next one.

    Args:
        level: INTRODUCTION, GROUP or RUNBOOK.
        text: as Markdown.
    """

    level: int
    title: str
    text: str

    @property
    def anchor(self) -> str:
        """What a link within the page calls it."""
        return re.sub(r"[^\w -]", "", self.title).lower().replace(" ", "-")

    @property
    def number(self) -> int:
        """Its panel's id within the dashboard: of its title, so that links stay as they are when others come and go."""
        return zlib.crc32(self.anchor.encode()) % NUMBERS + 1

    @property
    def url(self) -> str:
        """Where Grafana shows it alone, from the root of the same Grafana on."""
        return f"/d/{UID}?viewPanel=panel-{self.number}"


def sections(page: str) -> Sequence[Section]:
    """All sections of a page, in their order."""
    marks = list(HEADLINE.finditer(page))
    ends = [*(mark.start() for mark in marks[1:]), len(page)]
    return [
        Section(len(mark[1]), mark[2], page[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)
    ]


def by_anchor(page: str) -> Mapping[str, Section]:
    """The same, by what links call them."""
    return {section.anchor: section for section in sections(page)}
