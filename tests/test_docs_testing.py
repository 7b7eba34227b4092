"""Tests of docs/testing.md: its faults are the catalogue's rows, and every one is shown by tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.chaos.page import written
from tests.chaos.rows import SECTIONS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "testing.md").read_text()
LINK = re.compile(r"\[([\w/]+\.py)::(\w+)\]\(([^)]+)\)")
ROWS = [row for section in SECTIONS for row in section.rows]
NAMED = sorted({test for row in ROWS for test in row.tests})


@cache
def defined_in(file: str) -> frozenset[str]:
    """The test functions that a file defines."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_"))


@pytest.mark.parametrize("test", NAMED)
def test_a_test_that_a_row_names_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert name in defined_in(file)


def test_the_page_shows_the_rows_of_the_catalogue() -> None:
    assert written(PAGE) == PAGE, "run: python -m tests.chaos.page"


def test_what_the_page_links_is_there_and_a_row_names_it() -> None:
    linked = LINK.findall(PAGE)
    assert linked
    assert PAGE.count("::test_") == len(linked)
    assert [link for link in linked if link[2] != f"../tests/{link[0]}" or f"{link[0]}::{link[1]}" not in NAMED] == []


def test_what_is_said_to_be_promised_elsewhere_has_a_heading_there() -> None:
    headings = set(re.findall(r"^## (.+)$", (ROOT / "docs" / "reliability.md").read_text(), re.MULTILINE))
    said = {heading for section in SECTIONS for heading in section.promised}
    assert said
    assert said <= headings


def test_a_row_waits_for_a_later_step_by_its_number_alone() -> None:
    assert len(ROWS) > 50
    assert [row for row in ROWS if row.later and not row.later.startswith("step ")] == []


def test_every_file_and_folder_that_the_page_speaks_of_is_there() -> None:
    spoken = re.findall(r"`((?:tests|gateway)/[\w/.]+)`", PAGE)
    assert spoken
    assert [path for path in spoken if not (ROOT / path).exists()] == []
