"""Workers count failures together, and one request of all of them finds out whether a backend works again."""

import contextlib
import os
import time
from collections.abc import Iterator

import pytest

from gateway.backends.board import Board, create_board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.circuit import Change, Standing, Why
from tests.backends.sharing import DIED, FLEET, Process, crew
from tests.core.hand_time import HandTime

PAUSE, LONGEST, THRESHOLD = 30.0, 300.0, 5
SETTINGS = BreakerSettings()


class Fleet:
    """Workers with a breaker each, in one process on one board."""

    def __init__(self, page: int | None = None, jitter: float = 0.0) -> None:
        self.clock = HandTime()
        self.changes: list[Change] = []
        self.board = Board(FLEET, page)
        self.jitter = jitter
        self.workers = [self.new_worker() for _ in range(3)]

    def new_worker(self) -> Breaker:
        return Breaker(self.board, SETTINGS, self.clock, self.changes.append, lambda: self.jitter)

    def fail(self, times: int = THRESHOLD) -> None:
        for number in range(times):
            self.workers[number % 3].failed(0)

    def fail_trial(self) -> None:
        self.workers[0].failed(0, trial=self.take_trial())

    def take_trial(self, worker: int = 0) -> int:
        """Its number, which must be granted."""
        number = self.workers[worker].take_trial(0)
        assert number
        return number

    def paused(self) -> float:
        """For how long the circuit is open from now on."""
        return self.workers[0].retry_at(0) - self.clock.now


@pytest.fixture
def page() -> Iterator[int]:
    made = create_board()
    yield made
    os.close(made)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_the_defaults_are_the_documented_ones() -> None:
    assert (SETTINGS.circuit_failure_threshold, SETTINGS.circuit_recovery_timeout) == (THRESHOLD, PAUSE)
    assert SETTINGS.circuit_max_recovery_secs == LONGEST


def test_the_fifth_failure_in_a_row_opens_whichever_workers_saw_them(fleet: Fleet) -> None:
    fleet.fail(4)
    assert fleet.workers[2].standing(0) is Standing.CLOSED
    assert fleet.changes == []
    fleet.workers[2].failed(0)
    assert [worker.standing(0) for worker in fleet.workers] == [Standing.OPEN] * 3
    assert fleet.workers[0].standing(1) is Standing.CLOSED
    assert (fleet.paused(), fleet.workers[0].why(0)) == (PAUSE, Why.FAILURES)
    assert fleet.changes == [Change("chat0", Standing.CLOSED, Standing.OPEN, Why.FAILURES, PAUSE)]


def test_a_success_of_any_worker_begins_the_row_anew(fleet: Fleet) -> None:
    fleet.fail(4)
    fleet.workers[1].succeeded(0)
    fleet.fail(4)
    assert fleet.workers[0].standing(0) is Standing.CLOSED
    fleet.workers[1].succeeded(1)  # another backend's is nothing to it
    fleet.fail(1)
    assert fleet.workers[0].standing(0) is Standing.OPEN


def test_a_success_without_the_engine_takes_back_the_failures_without_it_and_no_others(fleet: Fleet) -> None:
    for round_ in range(3):
        for _ in range(4):
            fleet.workers[round_].failed(0, light=True)
        fleet.workers[2].succeeded_lightly(0)
    fleet.fail(4)
    fleet.workers[0].succeeded_lightly(0)
    assert fleet.workers[0].standing(0) is Standing.CLOSED
    fleet.workers[1].failed(0, light=True)  # four that stand, and one
    assert (fleet.workers[0].standing(0), fleet.paused()) == (Standing.OPEN, PAUSE)


def three_and_a_light_one_that_is_taken_back(fleet: Fleet) -> None:
    """Failures in a row, of which the last, without the engine, is forgiven for a success without it."""
    fleet.fail(3)
    fleet.workers[0].failed(0, light=True)
    fleet.workers[1].succeeded_lightly(0)


def test_a_row_of_both_kinds_loses_what_a_success_takes_back_and_nothing_twice(fleet: Fleet) -> None:
    three_and_a_light_one_that_is_taken_back(fleet)
    fleet.fail(1)
    assert fleet.workers[0].standing(0) is Standing.CLOSED
    fleet.workers[2].succeeded(0)
    fleet.workers[0].failed(0, light=True)
    fleet.workers[2].succeeded(0)  # takes back both kinds
    fleet.fail(4)
    fleet.workers[1].succeeded_lightly(0)
    fleet.fail(1)
    assert fleet.workers[0].standing(0) is Standing.OPEN


def test_failures_of_both_kinds_are_one_row(fleet: Fleet) -> None:
    three_and_a_light_one_that_is_taken_back(fleet)
    fleet.fail(2)
    assert fleet.workers[0].standing(0) is Standing.OPEN


def test_five_failures_without_the_engine_open_too_and_a_success_with_it_takes_them_back(fleet: Fleet) -> None:
    for _ in range(2):
        for _ in range(4):
            fleet.workers[0].failed(0, light=True)
        fleet.workers[1].succeeded(0)
    assert fleet.workers[0].standing(0) is Standing.CLOSED
    for _ in range(5):
        fleet.workers[0].failed(0, light=True)
    assert fleet.workers[0].standing(0) is Standing.OPEN


def test_what_is_known_of_an_open_circuit_is_not_changed_by_a_success_without_the_engine(fleet: Fleet) -> None:
    for _ in range(5):
        fleet.workers[0].failed(0, light=True)
    fleet.workers[0].ask_anyway(0, asked=True)
    epoch = fleet.board.epoch()
    fleet.workers[0].succeeded_lightly(0)
    assert (fleet.paused(), fleet.board.epoch()) == (PAUSE, epoch)


def test_failures_that_lie_further_apart_than_a_circuit_is_ever_open_make_no_row(fleet: Fleet) -> None:
    for _ in range(2 * THRESHOLD):
        fleet.fail(1)
        fleet.clock.advance(LONGEST + 0.001)
    assert fleet.workers[0].standing(0) is Standing.CLOSED
    for _ in range(THRESHOLD):
        assert fleet.workers[0].standing(0) is Standing.CLOSED
        fleet.fail(1)
        fleet.clock.advance(LONGEST)
    assert fleet.workers[0].why(0) is Why.FAILURES


def test_a_request_that_says_nothing_changes_nothing(fleet: Fleet) -> None:
    fleet.fail(4)
    epoch = fleet.board.epoch()
    for _ in range(10):
        fleet.workers[0].neutral(0)
    assert fleet.board.epoch() == epoch
    fleet.fail(1)
    assert fleet.workers[0].standing(0) is Standing.OPEN


def test_no_trial_is_granted_before_the_pause_is_over_nor_when_the_circuit_is_closed(fleet: Fleet) -> None:
    assert not fleet.workers[0].take_trial(0)
    fleet.fail()
    fleet.clock.advance(PAUSE - 0.001)
    assert fleet.workers[0].standing(0) is Standing.OPEN
    assert not fleet.workers[0].take_trial(0)
    fleet.clock.advance(0.001)
    assert fleet.workers[0].standing(0) is Standing.HALF_OPEN
    assert fleet.workers[0].take_trial(0)


class OvertakenBoard(Board):
    """A board of which another worker gets the lock first, once."""

    rival: Breaker | None = None
    rivals = 0

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        rival, self.rival = self.rival, None
        if rival is not None:
            self.rivals = rival.take_trial(0)
        with super().exclusive() as held:
            yield held


def test_whoever_finds_a_trial_due_and_gets_the_lock_second_gets_no_trial() -> None:
    board, clock = OvertakenBoard(FLEET), HandTime()
    first, second = (Breaker(board, SETTINGS, clock) for _ in range(2))
    first.reset(0)
    board.rival = first
    assert not second.take_trial(0)
    assert board.rivals
    first.succeeded(0, trial=board.rivals)
    assert second.standing(0) is Standing.CLOSED


def test_a_trial_that_succeeds_closes_the_circuit(fleet: Fleet) -> None:
    fleet.fail()
    fleet.clock.advance(PAUSE)
    number, *others = [worker.take_trial(0) for worker in fleet.workers]
    assert (number > 0, others) == (True, [0, 0])
    assert fleet.workers[1].standing(0) is Standing.HALF_OPEN
    fleet.workers[0].succeeded(0, trial=number)
    assert fleet.workers[1].standing(0) is Standing.CLOSED
    assert fleet.changes[1:] == [Change("chat0", Standing.HALF_OPEN, Standing.CLOSED, Why.TRIAL_SUCCEEDED)]
    fleet.fail(4)
    assert fleet.workers[0].standing(0) is Standing.CLOSED


def test_a_trial_that_fails_doubles_the_pause_up_to_its_cap(fleet: Fleet) -> None:
    fleet.fail()
    for pause in (60.0, 120.0, 240.0, LONGEST, LONGEST):
        fleet.clock.advance(fleet.paused())
        fleet.fail_trial()
        assert fleet.paused() == pause
        assert fleet.changes[-1] == Change("chat0", Standing.HALF_OPEN, Standing.OPEN, Why.TRIAL_FAILED, pause)


def test_jitter_shortens_a_doubled_pause_and_the_next_is_doubled_without_it(fleet: Fleet) -> None:
    fleet.jitter = 1.0
    fleet.fail()
    assert fleet.paused() == PAUSE
    for pause in (48.0, 96.0, 192.0, 240.0):
        fleet.clock.advance(fleet.paused())
        fleet.fail_trial()
        assert fleet.paused() == pytest.approx(pause)


def test_a_cap_below_the_first_pause_leaves_that_as_it_is() -> None:
    settings = BreakerSettings(circuit_recovery_timeout=60.0, circuit_max_recovery_secs=10.0)
    clock = HandTime()
    breaker = Breaker(Board(FLEET), settings, clock, jitter=lambda: 1.0)
    breaker.trip(0)
    for _ in range(2):
        assert breaker.retry_at(0) == clock.now + 60.0
        clock.advance(60.0)
        breaker.trip(0)


def test_a_success_ends_the_doubling(fleet: Fleet) -> None:
    fleet.fail()
    fleet.clock.advance(PAUSE)
    fleet.fail_trial()
    fleet.clock.advance(2 * PAUSE)
    fleet.workers[1].succeeded(0, trial=fleet.take_trial(1))
    fleet.fail()
    assert fleet.paused() == PAUSE


def test_a_trial_whose_holder_died_is_granted_again_when_its_time_is_over(fleet: Fleet) -> None:
    fleet.fail()
    fleet.clock.advance(PAUSE)
    assert fleet.workers[0].take_trial(0)
    assert fleet.workers[0].trial_ends(0) == fleet.clock.now + PAUSE
    fleet.clock.advance(PAUSE - 0.001)
    assert not fleet.workers[1].take_trial(0)
    fleet.clock.advance(0.001)
    assert [bool(worker.take_trial(0)) for worker in fleet.workers[1:]] == [True, False]


@pytest.mark.parametrize("taker", [0, 1])
@pytest.mark.parametrize("outcome", ["succeeded", "failed", "neutral", "trip"])
def test_a_trial_that_was_taken_over_decides_nothing_in_whichever_process(
    fleet: Fleet, outcome: str, taker: int
) -> None:
    fleet.fail()
    fleet.clock.advance(PAUSE)
    late = fleet.take_trial()
    fleet.clock.advance(PAUSE)
    newer = fleet.take_trial(taker)
    getattr(fleet.workers[0], outcome)(0, trial=late)
    assert fleet.workers[0].standing(0) is Standing.HALF_OPEN
    assert not fleet.workers[2].take_trial(0)
    fleet.workers[taker].succeeded(0, trial=newer)
    assert fleet.workers[0].standing(0) is Standing.CLOSED


def test_a_late_trial_that_nobody_took_over_still_decides(fleet: Fleet) -> None:
    fleet.fail()
    fleet.clock.advance(PAUSE)
    number = fleet.take_trial()
    fleet.clock.advance(10 * PAUSE)
    fleet.workers[0].succeeded(0, trial=number)
    assert fleet.workers[1].standing(0) is Standing.CLOSED


def test_a_trial_that_says_nothing_is_given_back(fleet: Fleet) -> None:
    fleet.fail()
    fleet.clock.advance(PAUSE)
    number = fleet.take_trial()
    epoch = fleet.board.epoch()
    fleet.workers[0].neutral(0, trial=number)
    assert fleet.board.epoch() != epoch
    assert fleet.workers[1].take_trial(0)
    fleet.workers[0].neutral(0, trial=number)  # a second time, when it is another's
    assert not fleet.workers[2].take_trial(0)


def test_a_success_brings_the_trial_forward_where_requests_go_there_anyway(fleet: Fleet) -> None:
    fleet.fail()
    fleet.clock.advance(PAUSE)
    fleet.fail_trial()
    fleet.workers[1].ask_anyway(0, asked=True)
    fleet.workers[0].succeeded(0)  # of a process whose requests had others to go to
    assert fleet.paused() == 2 * PAUSE
    epoch = fleet.board.epoch()
    fleet.workers[1].succeeded(0)
    assert (fleet.paused(), fleet.workers[2].standing(0)) == (0.0, Standing.HALF_OPEN)
    assert fleet.board.epoch() != epoch
    fleet.fail_trial()
    assert fleet.paused() == PAUSE  # the doubling had ended
    fleet.workers[1].ask_anyway(0, asked=False)
    fleet.workers[1].succeeded(0)
    assert fleet.paused() == PAUSE


def test_what_ends_well_while_a_backend_drains_brings_no_trial_forward(fleet: Fleet) -> None:
    fleet.workers[0].trip(0)
    fleet.workers[0].ask_anyway(0, asked=True)
    fleet.workers[0].succeeded(0)
    assert fleet.paused() == PAUSE


def test_a_trial_can_be_brought_forward_and_never_put_off(fleet: Fleet) -> None:
    fleet.workers[0].hasten(0, fleet.clock.now + 1.0)
    assert fleet.workers[0].standing(0) is Standing.CLOSED
    fleet.workers[0].trip(0)
    for seconds, expected in ((40.0, PAUSE), (1.0, 1.0), (2.0, 1.0)):
        fleet.workers[0].hasten(0, fleet.clock.now + seconds)
        assert fleet.paused() == expected
    assert fleet.workers[1].drains(0)


def test_requests_that_were_sent_before_the_circuit_opened_change_nothing(fleet: Fleet) -> None:
    fleet.fail()
    for _ in range(2):
        epoch, until = fleet.board.epoch(), fleet.workers[0].retry_at(0)
        fleet.workers[0].succeeded(0)
        fleet.fail(10)
        assert (fleet.board.epoch(), fleet.workers[0].retry_at(0)) == (epoch, until)
        fleet.clock.advance(PAUSE)  # and the same when it is half-open


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


def test_no_clock_is_read_and_no_lock_taken_for_a_success_of_a_backend_without_faults() -> None:
    board = Board(FLEET)
    breaker = Breaker(board, SETTINGS, HandTime())
    breaker._clock = breaker._board = None  # type: ignore[assignment]  # whoever asked them would fail
    breaker.succeeded(0)
    assert breaker.standing(0) is Standing.CLOSED


def test_changes_are_told_outside_the_lock(page: int) -> None:
    within: list[bool] = []
    with crew(page, 1) as (other,):
        board = Board(FLEET, page, 1)

        def look(_: Change) -> None:
            within.append(other.do("hold"))
            other.start("go on")
            other.result()

        Breaker(board, SETTINGS, HandTime(), look).trip(0)
    assert within == [True]


def test_of_eight_processes_with_two_hundred_requests_one_gets_the_trial(page: int) -> None:
    breaker = Breaker(Board(FLEET, page, 8), SETTINGS, HandTime(time.monotonic()))
    with crew(page, 8) as processes:
        for process in processes:
            process.do("call", "standing", 0)  # it is up
        for _ in range(10):
            breaker.reset(0)
            at = time.monotonic() + 0.02
            for process in processes:
                process.start("take_trials", 25, at)
            assert sorted(process.result() for process in processes) == [0] * 7 + [1]


def test_no_failure_that_was_counted_is_lost_between_processes(page: int) -> None:
    board = Board(FLEET, page, 8)
    with crew(page, 8) as processes:
        for process in processes:
            process.do("use", 1_000_000, 30.0)
        for process in processes:
            process.start("fail", 200)
        counted = [process.result() for process in processes]
    assert board.circuits.failures[0] == sum(counted)
    assert min(counted) > 0


def test_a_killed_process_s_trial_is_granted_to_another_in_time(page: int) -> None:
    with crew(page, 2) as (first, second):
        for process in (first, second):
            process.do("use", 5, 0.5)
        first.do("call", "reset", 0)
        assert first.do("call", "take_trial", 0)
        first.kill()
        ends = Board(FLEET, page, 2).circuits.trial[0]
        assert not second.do("call", "take_trial", 0) or time.monotonic() >= ends
        assert second.do("take_trials", 1, ends) == 1


def test_while_a_holder_of_the_lock_is_stopped_failures_are_dropped_and_no_trial_is_granted(page: int) -> None:
    clock = HandTime(time.monotonic())
    breaker = Breaker(Board(FLEET, page, 2), SETTINGS, clock)
    breaker.reset(0)
    with crew(page, 1) as (stopped,):
        assert stopped.do("hold")
        stopped.stop()
        assert not breaker.take_trial(0)
        for _ in range(10):
            breaker.failed(1)
        assert breaker.standing(1) is Standing.CLOSED
        stopped.kill()
    assert breaker.take_trial(0)
    for _ in range(5):
        breaker.failed(1)
    assert breaker.standing(1) is Standing.OPEN


ENDS = ("succeeded", "failed")
STANDINGS = ("closed", "open", "half_open", "on_trial", "on_its_own_trial")
"""In which a process finds a circuit that it is about to change."""


@pytest.mark.parametrize("method", ["trip", "reset", "take_trial", "hasten", "succeeded", "failed"])
def test_a_process_that_dies_between_two_stores_leaves_a_circuit_that_works(page: int, method: str) -> None:
    board = Board(FLEET, page, 1)
    with crew(page, 1) as (process,):
        for found in STANDINGS:
            endings = [_after_a_death(board, process, found, stores, method) for stores in range(14)]
            assert endings == sorted(endings, reverse=True)  # it dies of few stores, and comes to its end with more
            assert endings[-1] == 0


def _after_a_death(board: Board, process: Process, found: str, stores: int, method: str) -> int:
    """How the process ended that died after so many stores of a change, after which everything works."""
    clock = HandTime(time.monotonic())
    breaker = Breaker(board, SETTINGS, clock, jitter=lambda: 0.0)
    breaker.reset(0)
    number = _bring_to(found, breaker, process)
    epoch, shown = board.epoch(), _shown(breaker)
    named: dict[str, float] = {"due": clock.now} if method == "hasten" else {}
    ended: int = process.do("die_while", stores, method, {"trial": number} if method in ENDS else named)
    assert ended in {0, DIED}
    assert board.epoch() != epoch or _shown(breaker) == shown
    _works(breaker, clock)
    return ended


def _shown(breaker: Breaker) -> tuple[object, ...]:
    """What the epoch tells the change of."""
    return breaker.retry_at(0), breaker.trial_ends(0), breaker.why(0)


def _bring_to(found: str, breaker: Breaker, process: Process) -> int:
    """From half-open; the number of the trial of the process, or of one that never was."""
    if found == "open":
        breaker.trip(0)
    elif found == "on_trial":
        assert breaker.take_trial(0)
    elif found == "on_its_own_trial":
        number: int = process.do("call", "take_trial", 0)
        assert number
        return number
    elif found == "closed":
        breaker.succeeded(0, trial=breaker.take_trial(0))
    return 999_999


def _works(breaker: Breaker, clock: HandTime) -> None:
    """Failures open it, one trial is granted in time, and its success closes it; the epoch tells of each."""
    clock.advance(LONGEST)
    for _ in range(THRESHOLD):
        breaker.failed(0)
    clock.advance(LONGEST)
    assert breaker.standing(0) is Standing.HALF_OPEN
    number, *others = [breaker.take_trial(0) for _ in range(3)]
    assert (number > 0, others) == (True, [0, 0])
    breaker.succeeded(0, trial=number)
    assert breaker.standing(0) is Standing.CLOSED
    assert not breaker._board.unsettled()
