"""Tests of bench/goals.py: whether a goal is met, and by how much it is missed."""

from typing import Any

import pytest

from bench.figures import Figures
from bench.goals import GOALS, Goal, Verdict, added_beside, beside, judge, own, told, within
from bench.plan import FULL
from bench.table import Spread

COST = "JSON c=32: CPU us/request"
AT_MOST = Goal("cost", "x", own(COST), must=1.2, moonshot=0.8)
AT_LEAST = Goal("rate", "x", own(COST), must=0.9, moonshot=1.0, at_least=True)


def row(peer: str, repetition: int, **figures: float | None) -> dict[str, Any]:
    """A line of results; `cost` stands for the cost of a JSON request."""
    named = {COST if name == "cost" else name: value for name, value in figures.items()}
    return {"peer": peer, "repetition": repetition, "figures": named, "notes": []}


def verdict(goal: Goal, *seen: float) -> Verdict:
    """What is said of a goal after these repetitions."""
    return Verdict(goal, Spread.of(seen) if seen else None)


def of(what: str, rows: list[dict[str, Any]]) -> Verdict:
    """What is said of one of the project's goals."""
    return next(verdict for verdict in judge(rows) if verdict.goal.what.startswith(what))


def test_a_figure_at_its_limit_is_met() -> None:
    assert verdict(AT_MOST, 1.2).against(1.2) == "met"
    assert verdict(AT_LEAST, 0.9).against(0.9) == "met"


def test_a_figure_beyond_its_limit_is_missed_by_the_difference() -> None:
    assert verdict(AT_MOST, 1.5).against(1.2) == "missed by 0.30x (25 %)"
    assert verdict(AT_LEAST, 0.72).against(0.9) == "missed by 0.18x (20 %)"


def test_a_must_can_be_met_and_its_moonshot_missed() -> None:
    seen = verdict(AT_MOST, 1.0)
    assert (seen.against(seen.goal.must), seen.against(seen.goal.moonshot)) == ("met", "missed by 0.20x (25 %)")


def test_it_is_the_median_that_is_judged() -> None:
    assert verdict(AT_MOST, 9.0, 1.1, 1.0).against(1.2) == "met"
    assert verdict(AT_MOST, 0.1, 1.3, 1.4).against(1.2) != "met"


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert verdict(AT_MOST).against(1.2) == "not measured"
    assert {verdict.against(verdict.goal.must) for verdict in judge([row("nginx", 1, cost=4.0)])} == {"not measured"}


def test_a_terminal_is_told_of_each_goal_that_was_measured_and_of_no_other() -> None:
    lines = told([verdict(AT_MOST, 1.5), verdict(AT_LEAST)]).splitlines()
    assert lines == [
        "",
        "The goals, 1 of 2 measured:",
        "cost: 1.50x; must <= 1.2x missed by 0.30x (25 %), moonshot <= 0.8x missed by 0.70x (88 %)",
    ]
    assert told([verdict(AT_LEAST)]) == ""


def test_a_limit_of_nothing_is_missed_without_a_share() -> None:
    assert of("answers that failed", [row("gateway", 1, **{"failed answers": 3.0})]).against(0) == "missed by 3.00"


def test_a_limit_is_written_with_its_direction_and_unit() -> None:
    assert AT_MOST.stated(AT_MOST.must) == "<= 1.2x"
    assert AT_LEAST.stated(AT_LEAST.moonshot) == ">= 1x"
    assert Goal("time", "ms", own(COST), 10, 2).stated(10) == "<= 10 ms"


def test_a_ratio_is_taken_within_each_repetition() -> None:
    rows = [row("vllm-router", 1, cost=100), row("gateway", 1, cost=110)]
    rows += [row("vllm-router", 2, cost=300), row("gateway", 2, cost=360)]
    seen = of("JSON c=32", rows).seen
    assert seen is not None
    assert seen.low == pytest.approx(1.1)
    assert seen.high == pytest.approx(1.2)


def test_a_repetition_in_which_one_side_is_missing_says_nothing() -> None:
    assert beside("nginx", COST)({"gateway": {COST: 1.0}}) is None
    assert beside("nginx", COST)({"gateway": {COST: 1.0}, "nginx": {COST: None}}) is None
    assert within("a", "b")({"gateway": {"a": 1.0, "b": 0.0}}) is None
    assert added_beside("nginx", COST)({"gateway": {COST: 1.0}, "nginx": {COST: 1.0}}) is None


def test_what_is_added_is_counted_from_the_time_without_a_gateway() -> None:
    times: dict[str, Figures] = {"direct": {COST: 0.25}, "nginx": {COST: 0.5}, "gateway": {COST: 1.0}}
    assert added_beside("nginx", COST)(times) == 3.0


def test_every_goal_reads_a_figure_that_a_full_run_gives() -> None:
    class Asked(Figures):
        def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 -- dict's signature
            asked.add(key)
            return 1.0

    asked: set[str] = set()
    for goal in GOALS:
        goal.read({name: Asked() for name in ("direct", "nginx", "vllm-router", "gateway")})
    loads = [*FULL.timed, *FULL.crowds, *FULL.scaled.values()]
    of_loads = {figure.rpartition(": ")[0] for figure in asked if ": " in figure}
    assert of_loads <= {load.name for load in loads}
    assert len(of_loads) > 5


def test_no_moonshot_is_easier_than_its_must() -> None:
    for goal in GOALS:
        assert goal.moonshot >= goal.must if goal.at_least else goal.moonshot <= goal.must
