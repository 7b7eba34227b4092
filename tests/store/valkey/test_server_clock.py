"""The time of day is the server's as soon as that is known, and what was counted without it stands in its days."""

import logging

import pytest

from gateway.store.accounts import Windows, windows_in_utc
from gateway.store.valkey.server_clock import APART_SECS, SCRIPTS_BEGIN, ServerClock
from tests.core.hand_time import HandTime

DAY_SECS = 86_400.0
NOON = 300.5 * DAY_SECS
"""As scripts count."""


def at(host_ahead: float = 0.0) -> tuple[HandTime, ServerClock]:
    """A host whose time of day is so far ahead of a server's, at which it is noon."""
    hand = HandTime(wall_now=SCRIPTS_BEGIN + NOON + host_ahead)
    return hand, ServerClock(hand, windows_in_utc)


def day(days_from_now: int) -> Windows:
    return windows_in_utc(SCRIPTS_BEGIN + NOON + days_from_now * DAY_SECS)


def test_a_host_that_has_heard_nothing_goes_by_its_own_clock() -> None:
    hand, time = at(host_ahead=5.0)
    assert time.wall() == hand.wall()


def test_from_the_first_answer_on_the_time_is_the_servers_and_the_hosts_may_be_set() -> None:
    hand, time = at(host_ahead=7 * DAY_SECS)
    time.learn(NOON, hand.monotonic())
    hand.advance(10.0)
    hand.wall_now = 0.0
    assert time.wall() == SCRIPTS_BEGIN + NOON + 10.0


def test_an_answer_that_was_long_on_its_way_moves_nothing() -> None:
    hand, time = at()
    time.learn(NOON, hand.monotonic())
    hand.advance(10.0)
    asked = hand.monotonic()
    hand.advance(3.0)
    time.learn(NOON + 11.0, asked)  # within those 3 seconds
    assert time.wall() == SCRIPTS_BEGIN + NOON + 13.0


@pytest.mark.parametrize("step", [-DAY_SECS, -0.5, 0.5, DAY_SECS])
def test_a_servers_clock_that_is_set_is_followed(step: float) -> None:
    hand, time = at()
    time.learn(NOON, hand.monotonic())
    hand.advance(10.0)
    time.learn(NOON + 10.0 + step, hand.monotonic())
    assert time.wall() == SCRIPTS_BEGIN + NOON + 10.0 + step


@pytest.mark.parametrize("days", [-400, -5, -1, 1, 5, 400])
def test_what_a_wrong_clock_said_before_counts_in_the_day_of_now_and_once(days: int) -> None:
    hand, time = at(host_ahead=days * DAY_SECS)
    time.learn(NOON, hand.monotonic())
    assert time.believed()(day(days)) == day(0)
    assert time.believed()(day(-1)) == day(-1)  # from here on days are the server's


def test_days_that_a_right_clock_said_are_as_they_were() -> None:
    hand, time = at(host_ahead=3600.0)
    time.learn(NOON, hand.monotonic())
    counted_in = time.believed()
    assert [counted_in(day(days)) for days in (-2, -1, 0)] == [day(-2), day(-1), day(0)]


def test_a_day_to_come_is_none_whoever_said_it() -> None:
    hand, time = at()
    time.learn(NOON, hand.monotonic())
    hand.advance(1.0)
    time.learn(NOON - 5 * DAY_SECS, hand.monotonic())
    assert time.believed()(day(0)) == day(-5)


def test_clocks_that_are_apart_are_told_of_once_and_once_when_they_agree_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hand, time = at(host_ahead=-APART_SECS)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            time.learn(NOON, hand.monotonic())
        hand.wall_now += APART_SECS
        for _ in range(3):
            time.learn(NOON, hand.monotonic())
    assert [record.message for record in caplog.records] == ["clocks_apart", "clocks_agree"]
    assert vars(caplog.records[0])["ahead_secs"] == -APART_SECS
