"""Tests of bench/table.py: the arithmetic behind every figure that is quoted."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.table import Spread, ratios, read, render, spreads

CPU = "JSON c=32: CPU us/request"


def row(peer: str, repetition: int, *notes: str, **figures: float | None) -> dict[str, Any]:
    """A line of results with `cpu` and other figures."""
    named = {CPU if name == "cpu" else name: value for name, value in figures.items()}
    return {"peer": peer, "repetition": repetition, "figures": named, "notes": list(notes)}


def test_the_middle_repetition_is_quoted_with_the_outer_ones_beside_it() -> None:
    assert str(Spread.of([30.0, 10.0, 20.0])) == "20.0 (10.0-30.0)"


def test_a_single_value_has_no_spread() -> None:
    assert str(Spread.of([1234.5])) == "1,234"


@pytest.mark.parametrize(("value", "shown"), [(0.0, "0.00"), (9.99, "9.99"), (12.34, "12.3"), (10157.4, "10,157")])
def test_a_figure_shows_three_digits_or_all_of_its_whole_ones(value: float, shown: str) -> None:
    assert str(Spread.of([value])) == shown


def test_what_a_peer_has_no_value_for_is_not_counted() -> None:
    found = spreads([row("nginx", 1, cpu=4.0), row("nginx", 2, cpu=None), row("direct", 1, cpu=None)])
    assert found == {CPU: {"nginx": Spread(4.0, 4.0, 4.0)}}


def test_a_ratio_compares_windows_of_the_same_repetition() -> None:
    rows = [row("nginx", 1, cpu=10), row("gateway", 1, cpu=20), row("nginx", 2, cpu=40), row("gateway", 2, cpu=120)]
    assert ratios(rows) == [f"gateway / nginx, {CPU}: 2.50 (2.00-3.00)"]


def test_there_is_no_ratio_where_one_side_is_missing_or_nothing() -> None:
    rows = [row("nginx", 1, cpu=None), row("gateway", 1, cpu=20), row("nginx", 2, cpu=0), row("gateway", 2, cpu=20)]
    assert ratios([*rows, row("gateway", 3, cpu=20)]) == []


def test_a_ratio_to_a_slower_peer_is_shown_as_plainly_as_one_to_a_faster() -> None:
    rows = [row("nginx", 1, cpu=10), row("vllm-router", 1, cpu=40), row("gateway", 1, cpu=20)]
    assert [line.rpartition(" ")[2] for line in ratios(rows)] == ["2.00", "0.50"]


def test_only_costs_become_ratios() -> None:
    assert ratios([row("nginx", 1, rate=1.0), row("gateway", 1, rate=2.0)]) == []


def test_the_table_has_a_column_a_peer_a_line_a_figure_and_the_notes_below() -> None:
    lines = render([row("nginx", 1, cpu=10.0), row("gateway", 1, "was slow", cpu=25.0, rate=None)]).splitlines()
    assert lines[0] == "Medians of 1 repetition (lowest-highest)"
    assert lines[1].split() == ["nginx", "gateway"]
    assert lines[2].split()[-2:] == ["10.0", "25.0"]
    assert lines[3].split() == ["rate", "-", "-"]
    assert lines[-1] == "gateway, repetition 1: was slow"


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [row("nginx", 1, cpu=10.0), row("gateway", 1, cpu=25.0)]
    file = tmp_path / "results.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, [{"run": {"cores": 4}}, *rows])))
    assert read([file]) == rows
