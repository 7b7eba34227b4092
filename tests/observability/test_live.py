"""Gauges follow the counts, and are written seldom."""

import asyncio

import pytest

from gateway.observability.families.limits import RETRY_BUDGET
from gateway.observability.families.requests import IN_FLIGHT, QUEUED, SEATS_WAITING
from gateway.observability.families.streams import INTER_TOKEN
from gateway.observability.live import LiveGauges
from tests.core.hand_time import HandTime
from tests.observability.noted import CountedMetrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> HandTime:
    """The timers of the loop that the gauges find."""
    by_hand = HandTime()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: by_hand)
    return by_hand


def test_changes_are_written_together_a_moment_later(time: HandTime) -> None:
    metrics = CountedMetrics()
    with LiveGauges(metrics) as gauges:
        gauges.in_flight += 100
        gauges.queued += 2
        assert metrics.counted == {}
        assert len(time.pending) == 1
        time.advance(0.1)
        assert metrics.counted == {(IN_FLIGHT.name,): 100, (QUEUED.name,): 2}


def test_a_gauge_comes_back_to_zero(time: HandTime) -> None:
    metrics = CountedMetrics()
    with LiveGauges(metrics) as gauges:
        for by in (3, -1, -2):
            gauges.in_flight += by
            time.advance(0.1)
        assert metrics.counted == {}


def test_the_end_writes_what_is_left_and_leaves_no_timer(time: HandTime) -> None:
    metrics = CountedMetrics()
    with LiveGauges(metrics) as gauges:
        gauges.in_flight += 1
    assert metrics.counted == {(IN_FLIGHT.name,): 1}
    assert time.pending == []


def test_who_waits_for_a_seat_is_shown_by_group_and_a_group_where_nobody_does_too(time: HandTime) -> None:
    metrics = CountedMetrics()
    with LiveGauges(metrics) as gauges:
        gauges.seats.update({"chat": 0, "embed": 0})
        time.advance(0.1)
        assert {labels for family, labels in metrics._figures if family is SEATS_WAITING} == {("chat",), ("embed",)}
        gauges.seats["chat"] += 3
        time.advance(0.1)
        gauges.seats["chat"] -= 1
        time.advance(0.1)
        assert metrics.counted == {(SEATS_WAITING.name, "chat"): 2}


def test_gaps_and_what_is_left_of_the_retry_budget_are_written_too(time: HandTime) -> None:
    metrics = CountedMetrics()
    with LiveGauges(metrics) as gauges:
        gauges.retry_budget = lambda: 0.25
        gauges.gaps.of("chat")(0.02)
        time.advance(0.1)
        assert metrics.counted == {(RETRY_BUDGET.name,): 0.25}
        assert metrics.observed == {(INTER_TOKEN.name, "chat"): (0.02, 1)}
        gauges.gaps.of("chat")(0.02)
    assert metrics.observed[INTER_TOKEN.name, "chat"][1] == 2
