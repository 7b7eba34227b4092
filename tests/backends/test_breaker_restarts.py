"""A backend that drains is left at once, and one that died and came back gets one request first."""

import pytest

from gateway.backends.circuit import Change, Standing, Why
from tests.backends.breakers import PAUSE, Fleet


def test_what_ends_well_while_a_backend_drains_brings_no_trial_forward(host: Fleet) -> None:
    host.workers[0].trip(0)
    host.workers[0].ask_anyway(0, asked=True)
    host.workers[0].succeeded(0)
    assert host.paused() == PAUSE


def test_a_backend_that_drains_is_left_at_once(host: Fleet) -> None:
    host.workers[0].trip(0, Why.DRAINING)
    assert host.workers[1].standing(0) is Standing.OPEN
    assert (host.workers[1].drains(0), host.workers[1].drains(1)) == (True, False)
    assert host.changes == [Change("chat0", Standing.CLOSED, Standing.OPEN, Why.DRAINING, PAUSE)]
    host.clock.advance(PAUSE / 2)
    epoch = host.board.epoch()
    for worker in host.workers:
        worker.trip(0)
    assert (host.paused(), host.board.epoch(), len(host.changes)) == (PAUSE / 2, epoch, 1)


def test_who_says_again_that_it_drains_says_nothing_new(host: Fleet) -> None:
    host.workers[0].trip(0)
    for again in (2, 4):
        host.clock.advance(again * PAUSE)
        host.workers[1].trip(0, trial=host.take_trial())
        assert host.paused() == again * PAUSE
    assert len(host.changes) == 1


def test_a_backend_that_drains_in_its_trial_is_open_for_longer(host: Fleet) -> None:
    host.fail()
    host.clock.advance(PAUSE)
    number = host.take_trial()
    host.workers[0].trip(0, trial=number)
    assert (host.paused(), host.workers[0].drains(0)) == (2 * PAUSE, True)
    host.workers[0].neutral(0, trial=number)
    assert host.paused() == 2 * PAUSE


def test_a_backend_that_fails_and_then_drains_is_known_to_drain(host: Fleet) -> None:
    host.fail()
    epoch = host.board.epoch()
    host.workers[0].trip(0)
    assert (host.workers[1].why(0), host.paused()) == (Why.DRAINING, PAUSE)
    assert host.board.epoch() != epoch


@pytest.mark.parametrize("failures", [0, 4, 5])
def test_a_backend_that_died_and_came_back_gets_one_request_first(host: Fleet, failures: int) -> None:
    host.fail(failures)
    host.workers[0].reset(0)
    assert host.workers[1].standing(0) is Standing.HALF_OPEN
    assert host.workers[1].why(0) is Why.RESTARTED
    number, *others = [worker.take_trial(0) for worker in host.workers]
    assert others == [0, 0]
    host.workers[0].failed(0, trial=number)
    assert host.paused() == PAUSE
    assert host.changes[-2].after is Standing.HALF_OPEN


def test_a_reset_at_the_clock_s_zero_is_no_closed_circuit(host: Fleet) -> None:
    host.clock.now = 0.0
    host.workers[0].reset(0)
    host.clock.advance(1.0)
    assert host.workers[0].take_trial(0)
