"""A request costs what it did: steps, calls and memory of the hot path stay at their budgets."""

import platform
from dataclasses import fields

import pytest

from tests.guard.apart import measured
from tests.guard.budgets import BUDGETS, Budgets, budgets, complaint


@pytest.fixture
def expected() -> Budgets:
    row = budgets()
    if row is None or platform.python_implementation() != "CPython":
        known = ", ".join(f"{major}.{minor}" for major, minor in BUDGETS)
        pytest.skip(f"no budget for this interpreter (there are some for CPython {known})")
    return row


@pytest.mark.parametrize("kind", [field.name for field in fields(Budgets)])
def test_a_request_costs_what_it_did(expected: Budgets, kind: str) -> None:
    report = measured(kind)
    if said := complaint(kind, report.figures, report.dearest, getattr(expected, kind)):
        pytest.fail(said, pytrace=False)
