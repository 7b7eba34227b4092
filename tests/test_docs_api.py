"""The API reference names every path that there is, and no other; tests/e2e/test_pages.py runs its examples."""

import re
from pathlib import Path

from gateway.api.endpoints import ENDPOINTS

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
ASSETS = "/docs/"
"""Files of the page /docs."""


def test_every_path_is_there_and_no_other() -> None:
    named = {
        path.removesuffix("/...")
        for path in re.findall(r"(?:GET|POST) (/[\w/{}.]+)|`(/v\d/[\w/]+)`", PAGE)
        for path in path
        if path
    }
    offered = {row.path for row in ENDPOINTS if not row.path.startswith(ASSETS)} - {"/admin/{path}"}
    assert named == offered
    assert "## /admin" in PAGE


def test_each_path_that_a_model_answers_has_an_example() -> None:
    sections = dict(re.findall(r"^## (?:POST|GET) (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert [path for path, text in sections.items() if path != "/docs" and "```" not in text] == []
