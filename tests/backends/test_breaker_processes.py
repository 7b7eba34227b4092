"""Breakers of several processes, of which some die or stand still, go by the same circuits."""

import os
import time
from collections.abc import Iterator

import pytest

from gateway.backends.board import Board, create_board
from gateway.backends.breaker import Breaker
from gateway.backends.circuit import Change, Standing
from tests.backends.breakers import LONGEST, SETTINGS, THRESHOLD
from tests.backends.sharing import DIED, FLEET, Process, crew
from tests.core.hand_time import HandTime


@pytest.fixture
def page() -> Iterator[int]:
    made = create_board()
    yield made
    os.close(made)


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
