"""What does docs/testing.md say of the rows? The tables of its last part; `python -m tests.chaos.page` writes them."""

from pathlib import Path

from tests.chaos.row import Row, Section
from tests.chaos.rows import SECTIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
PART = "## Which fault is shown where\n"
BEGIN = "### "
"""In that part the first heading of this depth begins what is written here; it goes on to the end of the page."""


def tables() -> str:
    """A table a section."""
    return "\n".join(_table(section) for section in SECTIONS)


def written(page: str) -> str:
    """The page with its tables as they should be."""
    before, part, ours = page.partition(PART)
    return f"{before}{part}{ours.partition(BEGIN)[0]}{tables()}"


def _table(section: Section) -> str:
    rows = "".join(f"| {row.case} | {row.expected} | {_shown_by(row)} |\n" for row in section.rows)
    return f"{BEGIN}{section.title}\n\n| case | what must happen | shown by |\n|---|---|---|\n{rows}"


def _shown_by(row: Row) -> str:
    links = (f"[{test}](../tests/{test.partition('::')[0]})" for test in row.tests)
    return "<br>".join(links) if row.tests else f"not yet covered: {row.later}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
