"""Tests of docs/architecture.md: its files exist, and its figures are those that are held."""

import re
from pathlib import Path

import pytest

from tests.guard.budgets import BUDGETS, Cost

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
BUDGET = BUDGETS[3, 11]
COSTS = PAGE.partition("## What a request costs")[2].partition("\n## ")[0]


def cells(beginning: str) -> list[str]:
    """The cells of the row that begins so, commas left out."""
    row = next(line for line in COSTS.splitlines() if line.startswith(f"| {beginning}"))
    return [cell.strip().replace(",", "") for cell in row.strip("|").split("|")]


@pytest.mark.parametrize(
    ("beginning", "cost"),
    [("a whole answer", BUDGET.whole), ("a stream from", BUDGET.stream), ("each further event", BUDGET.event)],
)
def test_its_costs_are_the_budgets(beginning: str, cost: Cost) -> None:
    assert cells(beginning)[1:4] == [str(cost.steps), str(cost.entries), str(cost.calls)]


def test_its_memory_is_the_budgets() -> None:
    assert f"{BUDGET.held.blocks:g} blocks of Python's memory, {BUDGET.held.size:,.0f} bytes" in COSTS


@pytest.mark.parametrize(("beginning", "unit"), [("a whole answer", "request"), ("each further event", "event")])
def test_its_instructions_are_the_benchmarks(beginning: str, unit: str) -> None:
    said = re.fullmatch(r"(\d+) \((.+)\)", cells(beginning)[4])
    assert said
    load = (ROOT / "docs" / "BENCHMARK.md").read_text().partition(f"### {said[2]}\n")[2].partition("\n### ")[0]
    row = next((line for line in load.splitlines() if line.startswith(f"| k instructions/{unit} ")), None)
    if row is None or row.split("|")[-2].strip() == "-":
        pytest.skip("the benchmark was run where instructions cannot be counted")
    assert float(row.split("|")[-2].split()[0]) * 1000 == int(said[1])


def test_every_file_that_it_speaks_of_is_there() -> None:
    spoken = set(re.findall(r"`((?:[\w.]+/)+[\w.]+\.\w+|(?:[\w.]+/)+)`", PAGE))
    missing = [
        path for path in spoken if not any((base / path).exists() for base in (ROOT, ROOT / "gateway", ROOT / "docs"))
    ]
    assert len(spoken) > 30
    assert missing == []


def test_the_door_has_these_layers_in_this_order() -> None:
    table = PAGE.partition("| layer |")[2].partition("\n\n")[0]
    files = re.findall(r"^ *\| `(\w+)\.py`", table, re.MULTILINE)
    door = (ROOT / "gateway" / "app.py").read_text().partition("def door(")[2].partition("\n\n\n")[0]
    made = re.findall(r"lambda app: (\w+)\(|\*(\w+)_layer\(", door)
    assert files == [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", layer or other).lower() for layer, other in made]
    assert len(files) > 5


def test_the_house_has_a_line_for_everything_in_it() -> None:
    house = PAGE.partition("\n## The house\n")[2].partition("```\n")[2].partition("\n```")[0]
    lived_in = [
        path for path in (ROOT / "gateway").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    names = {f"{path.name}/" if path.is_dir() else path.name for path in lived_in} - {"__init__.py"}
    assert len(names) > 25
    assert {name for name in names if not re.search(rf"(?:^| ) {re.escape(name)} ", house, re.MULTILINE)} == set()
