"""One request of all workers finds out whether a backend works again, after a pause that grows while none succeeds."""

import contextlib
from collections.abc import Iterator

import pytest

from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.circuit import Change, Standing, Why
from tests.backends.breakers import LONGEST, PAUSE, SETTINGS, Fleet
from tests.backends.sharing import FLEET
from tests.core.hand_time import HandTime


def test_no_trial_is_granted_before_the_pause_is_over_nor_when_the_circuit_is_closed(host: Fleet) -> None:
    assert not host.workers[0].take_trial(0)
    host.fail()
    host.clock.advance(PAUSE - 0.001)
    assert host.workers[0].standing(0) is Standing.OPEN
    assert not host.workers[0].take_trial(0)
    host.clock.advance(0.001)
    assert host.workers[0].standing(0) is Standing.HALF_OPEN
    assert host.workers[0].take_trial(0)


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


def test_a_trial_that_succeeds_closes_the_circuit(host: Fleet) -> None:
    host.fail()
    host.clock.advance(PAUSE)
    number, *others = [worker.take_trial(0) for worker in host.workers]
    assert (number > 0, others) == (True, [0, 0])
    assert host.workers[1].standing(0) is Standing.HALF_OPEN
    host.workers[0].succeeded(0, trial=number)
    assert host.workers[1].standing(0) is Standing.CLOSED
    assert host.changes[1:] == [Change("chat0", Standing.HALF_OPEN, Standing.CLOSED, Why.TRIAL_SUCCEEDED)]
    host.fail(4)
    assert host.workers[0].standing(0) is Standing.CLOSED


def test_a_trial_that_fails_doubles_the_pause_up_to_its_cap(host: Fleet) -> None:
    host.fail()
    for pause in (60.0, 120.0, 240.0, LONGEST, LONGEST):
        host.clock.advance(host.paused())
        host.fail_trial()
        assert host.paused() == pause
        assert host.changes[-1] == Change("chat0", Standing.HALF_OPEN, Standing.OPEN, Why.TRIAL_FAILED, pause)


def test_jitter_shortens_a_doubled_pause_and_the_next_is_doubled_without_it(host: Fleet) -> None:
    host.jitter = 1.0
    host.fail()
    assert host.paused() == PAUSE
    for pause in (48.0, 96.0, 192.0, 240.0):
        host.clock.advance(host.paused())
        host.fail_trial()
        assert host.paused() == pytest.approx(pause)


def test_a_cap_below_the_first_pause_leaves_that_as_it_is() -> None:
    settings = BreakerSettings(circuit_recovery_timeout=60.0, circuit_max_recovery_secs=10.0)
    clock = HandTime()
    breaker = Breaker(Board(FLEET), settings, clock, jitter=lambda: 1.0)
    breaker.trip(0)
    for _ in range(2):
        assert breaker.retry_at(0) == clock.now + 60.0
        clock.advance(60.0)
        breaker.trip(0)


def test_a_success_ends_the_doubling(host: Fleet) -> None:
    host.fail()
    host.clock.advance(PAUSE)
    host.fail_trial()
    host.clock.advance(2 * PAUSE)
    host.workers[1].succeeded(0, trial=host.take_trial(1))
    host.fail()
    assert host.paused() == PAUSE


def test_a_trial_whose_holder_died_is_granted_again_when_its_time_is_over(host: Fleet) -> None:
    host.fail()
    host.clock.advance(PAUSE)
    assert host.workers[0].take_trial(0)
    assert host.workers[0].trial_ends(0) == host.clock.now + PAUSE
    host.clock.advance(PAUSE - 0.001)
    assert not host.workers[1].take_trial(0)
    host.clock.advance(0.001)
    assert [bool(worker.take_trial(0)) for worker in host.workers[1:]] == [True, False]


@pytest.mark.parametrize("taker", [0, 1])
@pytest.mark.parametrize("outcome", ["succeeded", "failed", "neutral", "trip"])
def test_a_trial_that_was_taken_over_decides_nothing_in_whichever_process(
    host: Fleet, outcome: str, taker: int
) -> None:
    host.fail()
    host.clock.advance(PAUSE)
    late = host.take_trial()
    host.clock.advance(PAUSE)
    newer = host.take_trial(taker)
    getattr(host.workers[0], outcome)(0, trial=late)
    assert host.workers[0].standing(0) is Standing.HALF_OPEN
    assert not host.workers[2].take_trial(0)
    host.workers[taker].succeeded(0, trial=newer)
    assert host.workers[0].standing(0) is Standing.CLOSED


def test_a_late_trial_that_nobody_took_over_still_decides(host: Fleet) -> None:
    host.fail()
    host.clock.advance(PAUSE)
    number = host.take_trial()
    host.clock.advance(10 * PAUSE)
    host.workers[0].succeeded(0, trial=number)
    assert host.workers[1].standing(0) is Standing.CLOSED


def test_a_trial_that_says_nothing_is_given_back(host: Fleet) -> None:
    host.fail()
    host.clock.advance(PAUSE)
    number = host.take_trial()
    epoch = host.board.epoch()
    host.workers[0].neutral(0, trial=number)
    assert host.board.epoch() != epoch
    assert host.workers[1].take_trial(0)
    host.workers[0].neutral(0, trial=number)  # a second time, when it is another's
    assert not host.workers[2].take_trial(0)


def test_a_success_brings_the_trial_forward_where_requests_go_there_anyway(host: Fleet) -> None:
    host.fail()
    host.clock.advance(PAUSE)
    host.fail_trial()
    host.workers[1].ask_anyway(0, asked=True)
    host.workers[0].succeeded(0)  # of a process whose requests had others to go to
    assert host.paused() == 2 * PAUSE
    epoch = host.board.epoch()
    host.workers[1].succeeded(0)
    assert (host.paused(), host.workers[2].standing(0)) == (0.0, Standing.HALF_OPEN)
    assert host.board.epoch() != epoch
    host.fail_trial()
    assert host.paused() == PAUSE  # the doubling had ended
    host.workers[1].ask_anyway(0, asked=False)
    host.workers[1].succeeded(0)
    assert host.paused() == PAUSE


def test_a_trial_can_be_brought_forward_and_never_put_off(host: Fleet) -> None:
    host.workers[0].hasten(0, host.clock.now + 1.0)
    assert host.workers[0].standing(0) is Standing.CLOSED
    host.workers[0].trip(0)
    for seconds, expected in ((40.0, PAUSE), (1.0, 1.0), (2.0, 1.0)):
        host.workers[0].hasten(0, host.clock.now + seconds)
        assert host.paused() == expected
    assert host.workers[1].drains(0)
