"""The guard itself: its counts repeat, and what a change adds to the hot path is seen."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway.core.asgi import ASGIApp
from tests.guard import costs
from tests.guard.budgets import ROOM_PERCENT, Cost, Memory, verdict
from tests.guard.meter import BELOW, counting, named
from tests.guard.stage import stage

pytestmark = pytest.mark.anyio

LAYER = """
async def added(scope, receive, send):
    await app(scope, receive, send)
"""
PUSHING_LAYER = """
async def added(scope, receive, send):
    connection = scope["extensions"]["gateway.connection"]

    class Added:
        def __getattr__(self, name):
            return getattr(connection, name)

        def push(self, data):
            return connection.push(data)

    scope["extensions"]["gateway.connection"] = Added()
    await app(scope, receive, send)
"""
WORKING = """
def added():
    return sorted_by_hand([3, 1, 2])
"""


def added(source: str, **known: object) -> Callable[..., object]:
    """The function `added` of a file that would stand below gateway/."""
    known = dict(known)
    exec(compile(source, f"{BELOW}added.py", "exec"), known)  # noqa: S102 -- the source stands above
    function = known["added"]
    assert callable(function)
    return function


def around(source: str, **known: object) -> Callable[[ASGIApp], ASGIApp]:
    return lambda app: added(source, app=app, **known)  # type: ignore[return-value]  # an application by its source


def objections(figure: Cost | Memory, budget: Cost | Memory) -> set[str]:
    """The names of what is out of bounds."""
    allowed = asdict(budget)
    return {name for name, value in asdict(figure).items() if verdict(name, value, allowed[name])}


@pytest.mark.parametrize("name", ROOM_PERCENT)
def test_five_percent_more_fails_and_the_figure_of_today_does_not(name: str) -> None:
    assert "above" in verdict(name, 1050, 1000)
    assert verdict(name, 1000, 1000) == ""
    assert verdict(name, 980, 1000) == ""


@pytest.mark.parametrize("name", ROOM_PERCENT)
def test_a_budget_that_has_become_loose_is_to_be_written_anew(name: str) -> None:
    assert "write the new figure down" in verdict(name, 850, 1000)


def test_a_library_is_booked_on_the_function_that_called_it_and_others_are_not_booked() -> None:
    def sorted_by_hand(items: list[int]) -> list[int]:
        return [*items][::-1]

    work = added(WORKING, sorted_by_hand=sorted_by_hand)
    with counting() as count:
        sorted_by_hand([1])
        work()
    assert [named(code) for code in count.entries] == ["added.py:added"]
    assert count.entries.total() == 2
    assert count.steps.total() > 5


async def test_the_same_work_costs_the_same_to_the_last_step(tmp_path: Path) -> None:
    async with stage(tmp_path) as gateway:
        assert (await costs.whole(gateway)).cost == (await costs.whole(gateway)).cost
        assert (await costs.event(gateway)).cost == (await costs.event(gateway)).cost


async def test_one_more_coroutine_around_the_application_is_too_much(tmp_path: Path) -> None:
    async with stage(tmp_path / "plain") as gateway:
        plain = await costs.whole(gateway)
    async with stage(tmp_path / "layered", around(LAYER)) as gateway:
        layered = await costs.whole(gateway)
    assert "entries" in objections(layered.cost, plain.cost)
    assert "added.py:added" in layered.count.dearest(most=1000)


async def test_one_more_function_for_each_event_is_too_much(tmp_path: Path) -> None:
    async with stage(tmp_path / "plain") as gateway:
        plain = await costs.event(gateway)
    async with stage(tmp_path / "layered", around(PUSHING_LAYER)) as gateway:
        layered = await costs.event(gateway)
    assert {"entries"} <= objections(layered.cost, plain.cost)
