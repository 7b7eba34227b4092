"""Workers count failures together: what makes a row of them, and what opens a circuit."""

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.circuit import Change, Standing, Why
from tests.backends.breakers import LONGEST, PAUSE, SETTINGS, THRESHOLD, Fleet
from tests.backends.sharing import FLEET
from tests.core.hand_time import HandTime


def test_the_defaults_are_the_documented_ones() -> None:
    assert (SETTINGS.circuit_failure_threshold, SETTINGS.circuit_recovery_timeout) == (THRESHOLD, PAUSE)
    assert SETTINGS.circuit_max_recovery_secs == LONGEST


def test_the_fifth_failure_in_a_row_opens_whichever_workers_saw_them(host: Fleet) -> None:
    host.fail(4)
    assert host.workers[2].standing(0) is Standing.CLOSED
    assert host.changes == []
    host.workers[2].failed(0)
    assert [worker.standing(0) for worker in host.workers] == [Standing.OPEN] * 3
    assert host.workers[0].standing(1) is Standing.CLOSED
    assert (host.paused(), host.workers[0].why(0)) == (PAUSE, Why.FAILURES)
    assert host.changes == [Change("chat0", Standing.CLOSED, Standing.OPEN, Why.FAILURES, PAUSE)]


def test_a_success_of_any_worker_begins_the_row_anew(host: Fleet) -> None:
    host.fail(4)
    host.workers[1].succeeded(0)
    host.fail(4)
    assert host.workers[0].standing(0) is Standing.CLOSED
    host.workers[1].succeeded(1)  # another backend's is nothing to it
    host.fail(1)
    assert host.workers[0].standing(0) is Standing.OPEN


def test_a_success_without_the_engine_takes_back_the_failures_without_it_and_no_others(host: Fleet) -> None:
    for round_ in range(3):
        for _ in range(4):
            host.workers[round_].failed(0, light=True)
        host.workers[2].succeeded_lightly(0)
    host.fail(4)
    host.workers[0].succeeded_lightly(0)
    assert host.workers[0].standing(0) is Standing.CLOSED
    host.workers[1].failed(0, light=True)  # four that stand, and one
    assert (host.workers[0].standing(0), host.paused()) == (Standing.OPEN, PAUSE)


def three_and_a_light_one_that_is_taken_back(host: Fleet) -> None:
    """Failures in a row, of which the last, without the engine, is forgiven for a success without it."""
    host.fail(3)
    host.workers[0].failed(0, light=True)
    host.workers[1].succeeded_lightly(0)


def test_a_row_of_both_kinds_loses_what_a_success_takes_back_and_nothing_twice(host: Fleet) -> None:
    three_and_a_light_one_that_is_taken_back(host)
    host.fail(1)
    assert host.workers[0].standing(0) is Standing.CLOSED
    host.workers[2].succeeded(0)
    host.workers[0].failed(0, light=True)
    host.workers[2].succeeded(0)  # takes back both kinds
    host.fail(4)
    host.workers[1].succeeded_lightly(0)
    host.fail(1)
    assert host.workers[0].standing(0) is Standing.OPEN


def test_failures_of_both_kinds_are_one_row(host: Fleet) -> None:
    three_and_a_light_one_that_is_taken_back(host)
    host.fail(2)
    assert host.workers[0].standing(0) is Standing.OPEN


def test_five_failures_without_the_engine_open_too_and_a_success_with_it_takes_them_back(host: Fleet) -> None:
    for _ in range(2):
        for _ in range(4):
            host.workers[0].failed(0, light=True)
        host.workers[1].succeeded(0)
    assert host.workers[0].standing(0) is Standing.CLOSED
    for _ in range(5):
        host.workers[0].failed(0, light=True)
    assert host.workers[0].standing(0) is Standing.OPEN


def test_what_is_known_of_an_open_circuit_is_not_changed_by_a_success_without_the_engine(host: Fleet) -> None:
    for _ in range(5):
        host.workers[0].failed(0, light=True)
    host.workers[0].ask_anyway(0, asked=True)
    epoch = host.board.epoch()
    host.workers[0].succeeded_lightly(0)
    assert (host.paused(), host.board.epoch()) == (PAUSE, epoch)


def test_failures_that_lie_further_apart_than_a_circuit_is_ever_open_make_no_row(host: Fleet) -> None:
    for _ in range(2 * THRESHOLD):
        host.fail(1)
        host.clock.advance(LONGEST + 0.001)
    assert host.workers[0].standing(0) is Standing.CLOSED
    for _ in range(THRESHOLD):
        assert host.workers[0].standing(0) is Standing.CLOSED
        host.fail(1)
        host.clock.advance(LONGEST)
    assert host.workers[0].why(0) is Why.FAILURES


def test_a_request_that_says_nothing_changes_nothing(host: Fleet) -> None:
    host.fail(4)
    epoch = host.board.epoch()
    for _ in range(10):
        host.workers[0].neutral(0)
    assert host.board.epoch() == epoch
    host.fail(1)
    assert host.workers[0].standing(0) is Standing.OPEN


def test_requests_that_were_sent_before_the_circuit_opened_change_nothing(host: Fleet) -> None:
    host.fail()
    for _ in range(2):
        epoch, until = host.board.epoch(), host.workers[0].retry_at(0)
        host.workers[0].succeeded(0)
        host.fail(10)
        assert (host.board.epoch(), host.workers[0].retry_at(0)) == (epoch, until)
        host.clock.advance(PAUSE)  # and the same when it is half-open


def test_no_clock_is_read_and_no_lock_taken_for_a_success_of_a_backend_without_faults() -> None:
    board = Board(FLEET)
    breaker = Breaker(board, SETTINGS, HandTime())
    breaker._clock = breaker._board = None  # type: ignore[assignment]  # whoever asked them would fail
    breaker.succeeded(0)
    assert breaker.standing(0) is Standing.CLOSED
