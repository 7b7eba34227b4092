"""The guard itself: its counts repeat, what a change adds to the hot path is seen, and nothing holds it up."""

import sys

import pytest

from tests.guard.apart import NotMeasuredError, Report, measured
from tests.guard.budgets import ROOM_PERCENT, Cost, Memory, complaint, objections, verdict
from tests.guard.changes import added
from tests.guard.meter import counting, named

WORKING = """
def added():
    return sorted_by_hand([3, 1, 2])
"""


def cost(report: Report) -> Cost:
    """What was measured, as a budget."""
    return Cost(**{name: int(figure) for name, figure in report.figures.items()})


@pytest.mark.parametrize("name", ROOM_PERCENT)
def test_three_percent_more_or_less_fail_and_the_figure_of_today_does_not(name: str) -> None:
    assert verdict(name, 1000, 1000) == ""
    assert verdict(name, 1030, 1000) == f"{name}: 1030 is 30 (3.0 %) above the budget of 1000"
    assert verdict(name, 970, 1000) == f"{name}: 970 is 30 (3.0 %) below the budget of 1000"


def test_a_developer_is_told_the_figure_the_functions_and_the_row_to_write() -> None:
    said = complaint("event", {"steps": 530, "entries": 16, "calls": 18}, "  530 a.py:f", Cost(500, 16, 18))
    assert "steps: 530 is 30 (6.0 %) above the budget of 500\nThat is more" in said
    assert f"tests/guard/budgets.py, in the row {sys.version_info[:2]}" in said
    assert "    event=Cost(steps=530, entries=16, calls=18),\n" in said
    assert said.endswith("  530 a.py:f")
    assert "entries:" not in said


def test_a_developer_who_made_it_cheaper_is_told_to_write_that_down() -> None:
    said = complaint("held", {"blocks": 20.04, "size": 4700}, "", Memory(22, 4700))
    assert "below the budget of 22\nThat is less" in said
    assert "    held=Memory(blocks=20, size=4700),\n" in said


def test_a_library_is_booked_on_the_function_that_called_it_and_others_are_not_booked() -> None:
    def sorted_by_hand(items: list[int]) -> list[int]:
        return [*items][::-1]

    work = added(WORKING, sorted_by_hand=sorted_by_hand)
    with counting():
        work()  # CPython 3.13 sees the steps of a function from its second call on
    with counting() as count:
        sorted_by_hand([1])
        work()
    assert [named(code) for code in count.entries] == ["added.py:added"]
    assert count.entries.total() == 2
    assert count.steps.total() > 5


@pytest.mark.parametrize("kind", ["whole", "stream", "event"])
def test_the_same_work_costs_the_same_to_the_last_step(kind: str) -> None:
    assert measured(kind, again=1).figures == measured(kind).figures


def test_the_same_streams_hold_the_same_within_the_room_that_is_left() -> None:
    assert objections(measured("held", again=1).figures, Memory(**measured("held").figures)) == {}


def test_one_more_layer_around_the_application_is_too_much() -> None:
    assert "entries" in objections(measured("whole", "layer").figures, cost(measured("whole")))


def test_a_loop_of_forty_turns_is_too_much() -> None:
    assert list(objections(measured("whole", "looping").figures, cost(measured("whole", "layer")))) == ["steps"]


def test_one_more_function_for_each_event_is_too_much() -> None:
    assert "entries" in objections(measured("event", "for-each-event").figures, cost(measured("event")))


def test_one_more_object_held_for_each_stream_is_too_much() -> None:
    plain, holding = measured("held", "layer").figures, measured("held", "holding").figures
    assert set(objections(holding, Memory(**plain))) == {"blocks", "size"}
    assert holding["blocks"] == pytest.approx(plain["blocks"] + 1, abs=0.5)


def test_a_measurement_that_hangs_ends_itself_and_shows_where() -> None:
    with pytest.raises(NotMeasuredError, match=r"whole .*--change stuck ended with 1 and said") as error:
        measured("whole", "stuck", patience=2)
    assert "most recent call first" in str(error.value)


def test_a_measurement_that_cannot_even_end_itself_is_killed() -> None:
    with pytest.raises(NotMeasuredError, match=r"whole .*--change stopped ended with -9"):
        measured("whole", "stopped", patience=2, grace=1)
