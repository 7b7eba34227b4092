"""Tests of bench/cores.py: who gets which core."""

import os
import sys

from bench.cores import available, divide, pinned
from bench.processes import finished


def test_on_four_cores_the_harness_keeps_out_of_the_way() -> None:
    cores = divide([3, 1, 0, 2])
    assert (cores.gateway, cores.load, cores.harness) == (frozenset({0}), frozenset({1}), frozenset({2, 3}))
    assert not cores.warning


def test_on_two_cores_the_gateway_still_has_its_own() -> None:
    cores = divide([4, 6])
    assert (cores.gateway, cores.load, cores.harness) == (frozenset({4}), frozenset({6}), frozenset({6}))
    assert "two cores" in cores.warning


def test_on_one_core_nothing_is_pinned() -> None:
    cores = divide([0])
    assert not cores.gateway | cores.load | cores.harness
    assert "one core" in cores.warning


def test_children_run_where_they_were_started() -> None:
    before = os.sched_getaffinity(0)
    last = available()[-1]
    asked = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]
    with pinned(frozenset({last})):
        said = finished(asked).stdout
    assert said.strip() == str({last})
    assert os.sched_getaffinity(0) == before


def test_an_empty_set_pins_nothing() -> None:
    before = os.sched_getaffinity(0)
    with pinned(frozenset()):
        assert os.sched_getaffinity(0) == before
