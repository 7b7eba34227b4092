"""Tests of docs/testing.md: its faults are the catalogue's rows, and every one is shown by tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.chaos.page import written

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "testing.md").read_text()
LINK = re.compile(r"\[([\w/]+\.py)::(\w+)\]\(([^)]+)\)")
ROWS = [line for line in PAGE.partition("## Which fault")[2].splitlines() if re.match(r"\| (?!case )", line)]
NAMED = sorted(set(LINK.findall(PAGE)))


@cache
def defined_in(file: str) -> frozenset[str]:
    """The test functions that a file defines."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_"))


@pytest.mark.parametrize(("file", "name", "target"), NAMED, ids=[f"{file}::{name}" for file, name, _ in NAMED])
def test_a_named_test_exists_where_its_link_leads(file: str, name: str, target: str) -> None:
    assert target == f"../tests/{file}"
    assert name in defined_in(file)


def test_the_page_shows_the_rows_of_the_catalogue() -> None:
    assert written(PAGE) == PAGE, "run: python -m tests.chaos.page"


def test_every_fault_names_a_test_and_the_page_links_nothing_else_of_that_kind() -> None:
    assert len(ROWS) > 50
    assert [row for row in ROWS if not LINK.search(row) and "| not yet covered: step " not in row] == []
    assert PAGE.count("::test_") == len(LINK.findall(PAGE))


def test_every_file_and_folder_that_the_page_speaks_of_is_there() -> None:
    spoken = re.findall(r"`((?:tests|gateway)/[\w/.]+)`", PAGE)
    assert spoken
    assert [path for path in spoken if not (ROOT / path).exists()] == []
