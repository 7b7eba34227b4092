"""A backend that drains is left at once, and one that died and came back gets one request first."""

import pytest

from gateway.backends.circuit import Change, Standing, Why
from tests.backends.breakers import PAUSE, Fleet


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_what_ends_well_while_a_backend_drains_brings_no_trial_forward(fleet: Fleet) -> None:
    fleet.workers[0].trip(0)
    fleet.workers[0].ask_anyway(0, asked=True)
    fleet.workers[0].succeeded(0)
    assert fleet.paused() == PAUSE


def test_a_backend_that_drains_is_left_at_once(fleet: Fleet) -> None:
    fleet.workers[0].trip(0, Why.DRAINING)
    assert fleet.workers[1].standing(0) is Standing.OPEN
    assert (fleet.workers[1].drains(0), fleet.workers[1].drains(1)) == (True, False)
    assert fleet.changes == [Change("chat0", Standing.CLOSED, Standing.OPEN, Why.DRAINING, PAUSE)]
    fleet.clock.advance(PAUSE / 2)
    epoch = fleet.board.epoch()
    for worker in fleet.workers:
        worker.trip(0)
    assert (fleet.paused(), fleet.board.epoch(), len(fleet.changes)) == (PAUSE / 2, epoch, 1)


def test_who_says_again_that_it_drains_says_nothing_new(fleet: Fleet) -> None:
    fleet.workers[0].trip(0)
    for again in (2, 4):
        fleet.clock.advance(again * PAUSE)
        fleet.workers[1].trip(0, trial=fleet.take_trial())
        assert fleet.paused() == again * PAUSE
    assert len(fleet.changes) == 1


def test_a_backend_that_drains_in_its_trial_is_open_for_longer(fleet: Fleet) -> None:
    fleet.fail()
    fleet.clock.advance(PAUSE)
    number = fleet.take_trial()
    fleet.workers[0].trip(0, trial=number)
    assert (fleet.paused(), fleet.workers[0].drains(0)) == (2 * PAUSE, True)
    fleet.workers[0].neutral(0, trial=number)
    assert fleet.paused() == 2 * PAUSE


def test_a_backend_that_fails_and_then_drains_is_known_to_drain(fleet: Fleet) -> None:
    fleet.fail()
    epoch = fleet.board.epoch()
    fleet.workers[0].trip(0)
    assert (fleet.workers[1].why(0), fleet.paused()) == (Why.DRAINING, PAUSE)
    assert fleet.board.epoch() != epoch


@pytest.mark.parametrize("failures", [0, 4, 5])
def test_a_backend_that_died_and_came_back_gets_one_request_first(fleet: Fleet, failures: int) -> None:
    fleet.fail(failures)
    fleet.workers[0].reset(0)
    assert fleet.workers[1].standing(0) is Standing.HALF_OPEN
    assert fleet.workers[1].why(0) is Why.RESTARTED
    number, *others = [worker.take_trial(0) for worker in fleet.workers]
    assert others == [0, 0]
    fleet.workers[0].failed(0, trial=number)
    assert fleet.paused() == PAUSE
    assert fleet.changes[-2].after is Standing.HALF_OPEN


def test_a_reset_at_the_clock_s_zero_is_no_closed_circuit(fleet: Fleet) -> None:
    fleet.clock.now = 0.0
    fleet.workers[0].reset(0)
    fleet.clock.advance(1.0)
    assert fleet.workers[0].take_trial(0)
