"""Whatever happens in whatever order, the circuit is what a simple model says, and no two trials run at a time."""

from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.backends.board import Board
from gateway.backends.breaker import JITTER, Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.circuit import Standing
from tests.backends.sharing import FLEET
from tests.core.hand_time import HandTime

SETTINGS = BreakerSettings(circuit_failure_threshold=3, circuit_recovery_timeout=30.0, circuit_max_recovery_secs=100.0)
ROW_LASTS = 100.0
PAUSES = (30.0, 60.0, 100.0, 100.0)
"""One after the other, before jitter."""
WORKERS = 3


class Grant(NamedTuple):
    """A trial as the model remembers it."""

    number: int
    ends: float


class Circuit(RuleBasedStateMachine):
    """Three workers and one backend; the model counts what each event means in a sentence of the documentation."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandTime()
        self.board = Board(FLEET)
        self.draws = 0.0
        self.workers = [self.new_worker() for _ in range(WORKERS)]
        self.failures = self.light = 0
        self.failed = 0.0
        self.openings = 0  # in a row: 0 while closed, or after a restart
        self.due: float | None = None  # when a trial is due; None while closed
        self.grant: Grant | None = None
        self.granted = [999]  # the numbers of all trials whose worker lives, and of one that never was
        self.nobody_else = False  # requests go there whatever the circuit says
        self.drains = False
        self.epoch = self.board.epoch()
        self.shown: tuple[float | None, Grant | None] = (None, None)

    def new_worker(self) -> Breaker:
        return Breaker(self.board, SETTINGS, self.clock, jitter=lambda: self.draws)

    def opens(self) -> None:
        pause = PAUSES[min(self.openings, len(PAUSES) - 1)]
        seconds = max(30.0, pause * (1 - JITTER * self.draws)) if self.openings else pause
        self.due, self.grant, self.failures = self.clock.now + seconds, None, 0
        self.light = 0
        self.openings += 1
        self.drains = False

    def closes(self) -> None:
        self.due, self.grant, self.failures, self.light, self.openings = None, None, 0, 0, 0

    def decides(self, number: int) -> bool:
        return self.grant is not None and self.grant.number == number

    def a_success_counts(self) -> None:
        if self.due is None:
            self.failures = self.light = 0
        elif self.nobody_else and not self.drains and self.due > self.clock.now:
            self.due, self.openings = self.clock.now, 0

    def counts(self, *, light: bool = False) -> None:
        if self.due is None:
            if self.clock.now - self.failed > ROW_LASTS:
                self.failures = self.light = 0
            self.failed = self.clock.now
            self.failures += 1
            self.light += light
            if self.failures == SETTINGS.circuit_failure_threshold:
                self.opens()

    @rule(seconds=st.sampled_from([1.0, 29.0, 30.0, 60.0, 300.0]), draws=st.sampled_from([0.0, 0.5, 1.0]))
    def time_passes(self, seconds: float, draws: float) -> None:
        self.clock.advance(seconds)
        self.draws = draws

    @rule(worker=st.integers(0, WORKERS - 1), times=st.integers(1, 4), light=st.booleans())
    def requests_fail(self, worker: int, times: int, *, light: bool) -> None:
        for _ in range(times):
            self.workers[worker].failed(0, light=light)
            self.counts(light=light)

    @rule(worker=st.integers(0, WORKERS - 1))
    def a_request_without_the_engine_succeeds(self, worker: int) -> None:
        self.workers[worker].succeeded_lightly(0)
        if self.due is None:
            self.failures, self.light = self.failures - self.light, 0

    @rule(worker=st.integers(0, WORKERS - 1))
    def a_request_succeeds(self, worker: int) -> None:
        self.workers[worker].succeeded(0)
        self.a_success_counts()

    @rule(asked=st.booleans())
    def a_group_has_nobody_else(self, *, asked: bool) -> None:
        self.nobody_else = asked
        for worker in self.workers:
            worker.ask_anyway(0, asked=asked)

    @rule(seconds=st.sampled_from([0.0, 1.0, 40.0]))
    def the_trial_is_brought_forward(self, seconds: float) -> None:
        due = self.clock.now + seconds
        self.workers[0].hasten(0, due)
        if self.due is not None and self.due > due:
            self.due, self.openings = due, 0

    @rule(worker=st.integers(0, WORKERS - 1))
    def a_request_asks_for_the_trial(self, worker: int) -> None:
        now = self.clock.now
        free = self.grant is None or self.grant.ends <= now
        expected = self.due is not None and self.due <= now and free
        number = self.workers[worker].take_trial(0)
        assert (number > 0) is expected
        if expected:
            assert number not in self.granted
            self.granted.append(number)
            self.grant = Grant(number, now + 30.0)

    @rule(back=st.integers(1, 3), outcome=st.sampled_from(["succeeded", "failed", "neutral"]))
    def a_trial_ends_in_time_or_late_or_twice(self, back: int, outcome: str) -> None:
        number = self.granted[-min(back, len(self.granted))]
        getattr(self.workers[number % WORKERS], outcome)(0, trial=number)
        if self.decides(number):
            ends = {"succeeded": self.closes, "failed": self.opens, "neutral": self.gives_back}
            ends[outcome]()
        elif outcome == "failed":
            self.counts()
        elif outcome == "succeeded":
            self.a_success_counts()

    def gives_back(self) -> None:
        self.grant = None

    @rule(worker=st.integers(0, WORKERS - 1))
    def the_backend_says_that_it_drains(self, worker: int) -> None:
        self.workers[worker].trip(0)
        if self.due is None or self.due <= self.clock.now:
            self.opens()
        self.drains = True

    @rule(back=st.integers(1, 3))
    def a_trial_is_told_that_it_drains(self, back: int) -> None:
        number = self.granted[-min(back, len(self.granted))]
        self.workers[0].trip(0, trial=number)
        if self.due is None or self.decides(number):
            self.opens()
            self.drains = True

    @rule(worker=st.integers(0, WORKERS - 1))
    def the_backend_was_restarted(self, worker: int) -> None:
        self.workers[worker].reset(0)
        self.closes()
        self.due, self.drains = self.clock.now, False

    @precondition(lambda self: self.grant is not None and self.grant.number in self.granted)
    @rule()
    def the_holder_of_the_trial_dies(self) -> None:
        assert self.grant is not None
        self.granted.remove(self.grant.number)

    @invariant()
    def all_workers_see_what_the_model_says(self) -> None:
        expected = Standing.CLOSED
        if self.due is not None:
            expected = Standing.OPEN if self.clock.now < self.due else Standing.HALF_OPEN
        assert [worker.standing(0) for worker in self.workers] == [expected] * WORKERS
        assert self.workers[0].retry_at(0) == pytest.approx(self.due or 0.0)
        assert self.workers[0].trial_ends(0) == (self.grant.ends if self.grant else 0.0)
        assert self.workers[0].drains(0) is (self.due is not None and self.drains)

    @invariant()
    def no_change_goes_untold(self) -> None:
        told, self.epoch = self.board.epoch() != self.epoch, self.board.epoch()
        ends = self.grant.ends if self.grant else None
        shown, self.shown = self.shown, (self.due, self.grant)
        changed = (shown[0], shown[1].ends if shown[1] else None) != (self.due, ends)
        assert told or not changed


Circuit.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCircuit = Circuit.TestCase
