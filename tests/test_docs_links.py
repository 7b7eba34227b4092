"""Tests of how pages lead to each other: no link is broken, and from the README one comes to every page of docs."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
PAGES = [ROOT / name for name in LISTED.stdout.splitlines() if (ROOT / name).is_file()]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[Path, str]]:
    """Where its links lead within the repository: file and anchor."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    inner = [target.partition("#") for target in found if "://" not in target]
    places = [((page.parent / name).resolve() if name else page, anchor) for name, _, anchor in inner]
    return [(place / "README.md" if (place / "README.md").is_file() else place, anchor) for place, anchor in places]


def anchors(page: Path) -> set[str]:
    """Its headings, as GitHub makes links of them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_of_a_page_is_broken(page: Path) -> None:
    for place, anchor in links(page):
        assert place.exists(), place
        assert not anchor or place.suffix != ".md" or anchor in anchors(place), (place, anchor)


def test_every_page_of_docs_is_within_reach_of_the_readme() -> None:
    if not PAGES:
        pytest.skip("not a git checkout")
    reached, ahead = {ROOT / "README.md"}, [ROOT / "README.md"]
    while ahead:
        new = {place for place, _ in links(ahead.pop()) if place.suffix == ".md"} - reached
        reached |= new
        ahead += new
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= reached
