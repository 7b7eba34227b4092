"""A request costs no more than it did: steps, calls and memory of the hot path stay within their budgets."""

import platform
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.guard import costs
from tests.guard.budgets import BUDGETS, Budgets, Cost, Memory, budgets, verdict
from tests.guard.stage import stage

pytestmark = pytest.mark.anyio


@pytest.fixture
def expected() -> Budgets:
    row = budgets()
    if row is None or platform.python_implementation() != "CPython":
        known = ", ".join(f"{major}.{minor}" for major, minor in BUDGETS)
        pytest.skip(f"no budget for this interpreter (there are some for CPython {known})")
    return row


def judge(figure: Cost | Memory, budget: Cost | Memory, where: str = "") -> None:
    """Fail with what is out of bounds, by how much, the figures to write down where that is meant, and the dearest."""
    allowed = asdict(budget)
    found = [said for name, value in asdict(figure).items() if (said := verdict(name, value, allowed[name]))]
    if found:
        pytest.fail("\n".join([*found, f"measured: {figure}", where]), pytrace=False)


async def test_a_whole_answer_costs_what_it_did(expected: Budgets, tmp_path: Path) -> None:
    async with stage(tmp_path) as gateway:
        measured = await costs.whole(gateway)
    judge(measured.cost, expected.whole, measured.count.dearest())


async def test_a_stream_costs_what_it_did(expected: Budgets, tmp_path: Path) -> None:
    async with stage(tmp_path) as gateway:
        measured = await costs.stream(gateway)
    judge(measured.cost, expected.stream, measured.count.dearest())


async def test_an_event_of_a_stream_costs_what_it_did(expected: Budgets, tmp_path: Path) -> None:
    async with stage(tmp_path) as gateway:
        measured = await costs.event(gateway)
    judge(measured.cost, expected.event, measured.count.dearest())


async def test_a_running_stream_holds_what_it_did(expected: Budgets, tmp_path: Path) -> None:
    async with stage(tmp_path, access_log=False) as gateway:
        held = await costs.memory(gateway)
    judge(held, expected.held)
