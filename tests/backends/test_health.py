"""Verdicts over time: what the next finding makes of the last verdict."""

import pytest

from gateway.backends.health import (
    MAY_BE_LOAD,
    BackendHealth,
    Circumstances,
    Finding,
    Rules,
    State,
    judge,
)
from gateway.backends.reasons import Reason
from gateway.backends.vllm_metrics import Figures

IDLE = Figures(running=0, waiting=0, generated=10, prompted=20, finished=1)
OK = Finding(Reason.OK, latency=0.01, models=("qwen",), max_model_len=8192, figures=IDLE)
QUEUEING = OK._replace(figures=IDLE._replace(running=8, waiting=3))
UNREACHABLE = Finding(Reason.UNREACHABLE)
TIMEOUT = Finding(Reason.TIMEOUT)
FRESH = BackendHealth(State.LOADING, Reason.NOT_PROBED, since=0.0)
RULES = Rules(up_after=3, down_after=1, down_after_under_load=2, loading_until=900.0)
QUIET, LOADED = Circumstances(), Circumstances(loaded=True)
FAULTS = sorted(set(Reason) - {Reason.OK, Reason.NOT_PROBED, Reason.RECOVERING, Reason.QUEUEING, Reason.DRAINING})


def after(
    before: BackendHealth, *findings: Finding, around: Circumstances = QUIET, now: float = 5.0, rules: Rules = RULES
) -> BackendHealth:
    for finding in findings:
        before = judge(before, finding, around, rules, now)
    return before


HEALTHY = after(FRESH, OK)
DOWN = after(HEALTHY, UNREACHABLE)


def test_a_backend_that_was_never_reached_is_loading_until_its_time_is_over() -> None:
    loading = after(FRESH, UNREACHABLE, now=899.0)
    assert (loading.state, loading.reason, loading.since) == (State.LOADING, Reason.UNREACHABLE, 0.0)
    down = after(loading, UNREACHABLE, now=900.0)
    assert (down.state, down.since) == (State.DOWN, 900.0)


def test_a_backend_that_has_never_failed_is_in_rotation_with_its_first_answer() -> None:
    assert HEALTHY.state is State.HEALTHY
    assert after(FRESH, UNREACHABLE, UNREACHABLE, OK).state is State.HEALTHY


def test_a_backend_that_was_reached_once_is_down_when_it_is_not() -> None:
    assert (DOWN.state, DOWN.reason) == (State.DOWN, Reason.UNREACHABLE)


def test_a_backend_that_was_down_is_taken_back_after_so_many_good_probes_in_a_row() -> None:
    first = after(DOWN, OK)
    assert (first.state, first.reason) == (State.DOWN, Reason.RECOVERING)
    assert after(first, OK).state is State.DOWN
    assert after(first, OK, OK).state is State.HEALTHY
    assert after(first, OK, UNREACHABLE, OK, OK).state is State.DOWN
    assert after(DOWN, OK, rules=RULES._replace(up_after=1)).state is State.HEALTHY


def test_since_stays_while_the_state_stays() -> None:
    assert after(HEALTHY, OK, now=15.0).since == 5.0
    assert after(DOWN, OK, now=15.0).since == 5.0


def test_what_was_learned_outlives_an_outage() -> None:
    assert (DOWN.models, DOWN.max_model_len, DOWN.latency) == (("qwen",), 8192, None)


@pytest.mark.parametrize("reason", sorted(set(FAULTS) - {Reason.UNREACHABLE}))
def test_any_fault_but_a_closed_port_is_down_at_once(reason: Reason) -> None:
    assert after(FRESH, Finding(reason)).state is State.DOWN


@pytest.mark.parametrize("reason", FAULTS)
def test_under_load_what_load_may_cause_must_be_seen_twice(reason: Reason) -> None:
    once = after(HEALTHY, Finding(reason), around=LOADED)
    assert once.state is (State.BUSY if reason in MAY_BE_LOAD else State.DOWN)
    assert once.reason is reason
    assert after(once, Finding(reason), around=LOADED).state is State.DOWN


def test_a_good_probe_between_two_bad_ones_begins_the_count_anew() -> None:
    assert after(HEALTHY, TIMEOUT, OK, TIMEOUT, around=LOADED).state is State.BUSY


def test_without_load_one_bad_probe_is_enough_and_another_number_may_be_set() -> None:
    assert after(HEALTHY, TIMEOUT).state is State.DOWN
    patient = RULES._replace(down_after=3)
    assert after(HEALTHY, TIMEOUT, TIMEOUT, rules=patient).state is State.BUSY
    assert after(HEALTHY, TIMEOUT, TIMEOUT, TIMEOUT, rules=patient).state is State.DOWN


def test_a_probe_that_times_out_while_there_is_progress_never_ejects() -> None:
    moving = Circumstances(loaded=True, alive=True)
    busy = after(HEALTHY, *[TIMEOUT] * 50, around=moving)
    assert (busy.state, busy.reason) == (State.BUSY, Reason.TIMEOUT)
    assert after(busy, OK).state is State.HEALTHY


def test_progress_brings_back_nobody_who_is_out() -> None:
    assert after(DOWN, TIMEOUT, around=Circumstances(loaded=True, alive=True)).state is State.DOWN


def test_a_refused_connection_is_no_matter_of_load() -> None:
    assert after(HEALTHY, UNREACHABLE, around=Circumstances(loaded=True, alive=True)).state is State.DOWN


def test_an_engine_that_stands_still_is_down_though_it_says_that_it_is_healthy() -> None:
    stalled = after(HEALTHY, OK, around=Circumstances(stalled=True), rules=RULES._replace(down_after=3))
    assert (stalled.state, stalled.reason) == (State.DOWN, Reason.STALLED)
    assert after(stalled, OK).reason is Reason.RECOVERING
    assert after(stalled, OK, OK, OK).state is State.HEALTHY


def test_requests_that_wait_in_the_engine_make_it_busy_and_keep_it_in_rotation() -> None:
    busy = after(HEALTHY, QUEUEING, now=7.0)
    assert (busy.state, busy.reason, busy.since) == (State.BUSY, Reason.QUEUEING, 7.0)
    assert (busy.running, busy.waiting) == (8, 3)
    assert after(busy, OK).state is State.HEALTHY


def test_a_backend_that_drains_takes_nothing_until_it_is_gone_and_back_or_says_no_more_of_it() -> None:
    draining = after(HEALTHY, OK, around=Circumstances(draining=True))
    assert (draining.state, draining.reason) == (State.DRAINING, Reason.DRAINING)
    assert after(draining, UNREACHABLE, around=Circumstances(draining=True)).state is State.DOWN
    assert after(draining, OK).state is State.HEALTHY


def test_missing_figures_change_no_state() -> None:
    blind = after(HEALTHY, OK._replace(figures=None))
    assert (blind.state, blind.running, blind.waiting) == (State.HEALTHY, None, None)
