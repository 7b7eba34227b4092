"""What the context says of its fields is so: which modules set each of them, and which rooms read it."""

import ast
import inspect
import itertools
import re
from collections import defaultdict
from pathlib import Path

import pytest

from gateway.core.context import RequestContext

GATEWAY = Path(__file__).parents[2] / "gateway"
FIELDS = RequestContext.__struct_fields__
NAMES = {"ctx", "_ctx", "progress"}
"""What a context is called wherever it is used; `progress` where a room may know no more of it than its phase."""


def said(field: str, words: str) -> set[str]:
    """What stands behind those words in what is written below the field."""
    (made,) = ast.parse(inspect.getsource(RequestContext)).body
    assert isinstance(made, ast.ClassDef)
    for one, below in itertools.pairwise(made.body):
        if isinstance(one, ast.AnnAssign) and ast.unparse(one.target) == field and isinstance(below, ast.Expr):
            found = re.search(
                rf"\b{words} ([\w/, ]+)[.;]", " ".join(ast.literal_eval(below.value).split()), re.IGNORECASE
            )
            return set(found[1].split(", ")) if found else set()
    return set()


def is_context(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in NAMES
        case ast.Subscript(slice=ast.Name(id=name)):
            return name == "CONTEXT_KEY"
    return False


@pytest.fixture(scope="module")
def uses() -> dict[tuple[str, bool], set[str]]:
    """The modules in which a field is set (True) or read."""
    found: defaultdict[tuple[str, bool], set[str]] = defaultdict(set)
    for path in GATEWAY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in FIELDS and is_context(node.value):
                module = str(path.relative_to(GATEWAY).with_suffix(""))
                found[node.attr, isinstance(node.ctx, ast.Store)].add(module)
    return found


@pytest.mark.parametrize("field", FIELDS)
def test_who_sets_a_field_and_who_reads_it_is_said(field: str, uses: dict[tuple[str, bool], set[str]]) -> None:
    assert said(field, "set by") == uses[field, True]
    assert said(field, "read by") == {module.partition("/")[0] for module in uses[field, False]}
