"""What does docs/testing.md say of the rows? `python -m tests.chaos.page` writes a table, or where promises are."""

from pathlib import Path

from tests.chaos.row import Row, Section
from tests.chaos.rows import SECTIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "testing.md"
PART = "## Which fault is shown where\n"
BEGIN = "### "
"""In that part the first heading of this depth begins what is written here; it goes on to the end of the page."""


def sections() -> str:
    """Each section's part."""
    return "\n".join(f"{BEGIN}{section.title}\n\n{_part(section)}" for section in SECTIONS)


def written(page: str) -> str:
    """The page with its sections as they should be."""
    before, part, ours = page.partition(PART)
    return f"{before}{part}{ours.partition(BEGIN)[0]}{sections()}"


def _part(section: Section) -> str:
    return _reference(section) if section.promised else _table(section)


def _reference(section: Section) -> str:
    links = "\n".join(f"- [{heading}](reliability.md#{anchor(heading)})" for heading in section.promised)
    later = "".join(f"- {row.case}: not yet covered: {row.later}\n" for row in section.rows if row.later)
    return f"{len(section.rows)} rows; their promises:\n\n{links}\n{later}"


def anchor(heading: str) -> str:
    """The name under which a heading is linked."""
    return heading.lower().replace(",", "").replace(" ", "-")


def _table(section: Section) -> str:
    rows = "".join(f"| {row.case} | {row.expected} | {_shown_by(row)} |\n" for row in section.rows)
    return f"| case | what must happen | shown by |\n|---|---|---|\n{rows}"


def _shown_by(row: Row) -> str:
    links = (f"[{test}](../tests/{test.partition('::')[0]})" for test in row.tests)
    return "<br>".join(links) if row.tests else f"not yet covered: {row.later}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
