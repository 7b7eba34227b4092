"""Tests of docs/security.md and SECURITY.md: named tests, settings, secrets and files are those that there are."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.core.keys import MIN_LENGTH
from gateway.elsewhere import FOREIGN
from gateway.settings import Settings, is_secret

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
POLICY = (ROOT / "SECURITY.md").read_text()
LINK = re.compile(r"\[([\w/]+\.py)::(\w+)\]\(([^)]+)\)")
NAMED = sorted(set(LINK.findall(PAGE)))
SUITE = sorted((ROOT / "tests" / "security").glob("test_*.py"))


@cache
def defined_in(file: Path) -> frozenset[str]:
    """The test functions that a file defines."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(file.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_"))


@pytest.mark.parametrize(("file", "name", "target"), NAMED, ids=[f"{file}::{name}" for file, name, _ in NAMED])
def test_a_named_test_exists_where_its_link_leads(file: str, name: str, target: str) -> None:
    assert target == f"../tests/{file}"
    assert name in defined_in(ROOT / "tests" / file)


def test_every_claim_and_every_threat_names_a_test() -> None:
    tables = [table.splitlines() for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)]
    rows = [row for table in tables if "| test |" in table[0] for row in table[2:]]
    assert len(rows) > 40
    assert [row for row in rows if not LINK.search(row)] == []


@pytest.mark.parametrize("file", SUITE, ids=[file.name for file in SUITE])
def test_every_file_of_the_suite_stands_for_a_row(file: Path) -> None:
    assert f"](../tests/security/{file.name})" in PAGE


def test_every_secret_of_the_settings_is_spoken_of() -> None:
    opened = PAGE.partition("## What each secret opens")[2].partition("\n## ")[0]
    secrets = {name.upper() for name in Settings.model_fields if is_secret(name)}
    assert secrets
    assert {name for name in secrets if name not in opened} == set()


def test_every_setting_that_is_spoken_of_is_one() -> None:
    words = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", PAGE))
    known = {name.upper() for name in Settings.model_fields} | {foreign.name for foreign in FOREIGN}
    of_others = {"VLLM_API_KEY", "NGINX_OPERATORS", "NGINX_CONNECTIONS_PER_ADDRESS"}
    assert words - known - of_others == set()
    for name, value in re.findall(r"([A-Z_]+)=(\d+)", PAGE):
        assert Settings.model_fields[name.lower()].default == int(value), name


def test_numbers_are_those_of_the_code() -> None:
    assert f"from {MIN_LENGTH} characters on" in " ".join(PAGE.split())
    compose = (ROOT / "docker-compose.yml").read_text()
    assert "max-size: 50m" in compose
    assert 'max-file: "5"' in compose
    assert isinstance(Settings.model_fields["key_hash_secret"].default, SecretStr)


@pytest.mark.parametrize(("page", "folder"), [(PAGE, ROOT / "docs"), (POLICY, ROOT)], ids=["the page", "the policy"])
def test_whatever_is_linked_is_there(page: str, folder: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page):
        file, _, anchor = target.partition("#")
        linked = folder / file if file else ROOT / "docs" / "security.md"
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}


def test_the_commands_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)`", PAGE + POLICY):
        assert f"\n{target}: " in makefile, target


def test_the_policy_invents_no_address() -> None:
    assert "private vulnerability report" in " ".join(POLICY.split())
    assert not re.search(r"\S+@\S+\.\S+|mailto:", POLICY)
