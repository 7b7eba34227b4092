"""Whom a request may try follows from verdicts and circuits, and is worked out only when one of them changed."""

import os
import time
from dataclasses import replace

import pytest

from gateway.backends import availability
from gateway.backends.availability import Availability, Choice
from gateway.backends.board import Board, create_board
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.circuit import Why
from gateway.backends.health import BackendHealth, State
from gateway.backends.reasons import Reason
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from tests.backends.sharing import HEALTHY
from tests.core.hand_time import HandTime

INTERVAL = 20.0
PAUSE = 30.0
A, B, C = (Backend(f"chat{number}", f"http://chat{number}:8000") for number in range(3))
CHAT = BackendGroup("chat", ModelKind.CHAT, "qwen", (), (A, B, C))
EMBED = BackendGroup("embed", ModelKind.EMBEDDING, "embed", (), (Backend("embed", "http://embed:8000"),))
BUSY = replace(HEALTHY, state=State.BUSY, reason=Reason.QUEUEING)
BEGAN = HandTime().now
DOWN = replace(HEALTHY, since=BEGAN, state=State.DOWN, reason=Reason.UNREACHABLE)
RECOVERING = replace(DOWN, reason=Reason.RECOVERING)
LOADING = replace(DOWN, state=State.LOADING)
NOT_PROBED = replace(DOWN, state=State.LOADING, reason=Reason.NOT_PROBED)
DRAINING = replace(DOWN, state=State.DRAINING, reason=Reason.DRAINING)
STALLED = replace(DOWN, reason=Reason.STALLED)


class CountingTime(HandTime):
    """Time that knows how often it was asked for."""

    asked = 0

    def monotonic(self) -> float:
        self.asked += 1
        return super().monotonic()


class Fleet:
    """A prober that lives, and one worker."""

    def __init__(self) -> None:
        self.clock = CountingTime()
        self.board = Board((*CHAT.backends, *EMBED.backends))
        self.breaker = Breaker(self.board, BreakerSettings(), self.clock, jitter=lambda: 0.0)
        self.availability = Availability(self.board, self.breaker, self.clock, INTERVAL)
        self.board.beat(self.clock.now)

    def say(self, *verdicts: BackendHealth, group: BackendGroup = CHAT) -> None:
        for backend, health in zip(group.backends, verdicts, strict=True):
            self.board.publish(backend.name, health)

    def open(self, *backends: Backend) -> None:
        for backend in backends:
            for _ in range(5):
                self.breaker.failed(self.board.index(backend.name))

    def advance(self, seconds: float) -> None:
        """The prober goes on beating meanwhile."""
        self.clock.advance(seconds)
        self.board.beat(self.clock.now)

    def chosen(self, group: BackendGroup = CHAT) -> Choice:
        return self.availability.of(group)

    def take_trial(self, backend: Backend) -> int:
        return self.breaker.take_trial(self.board.index(backend.name))


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    fleet.say(HEALTHY, HEALTHY, HEALTHY)
    fleet.say(HEALTHY, group=EMBED)
    return fleet


def test_while_all_is_well_everybody_may_be_tried_and_no_clock_is_read(fleet: Fleet) -> None:
    for _ in range(3):
        assert fleet.chosen() == Choice(CHAT.backends)
        assert fleet.chosen(EMBED) == Choice(EMBED.backends)
    assert fleet.chosen().backends is CHAT.backends
    assert fleet.clock.asked == 0


def test_while_nothing_changes_an_answer_is_kept(fleet: Fleet) -> None:
    assert fleet.chosen() is fleet.chosen()
    fleet.say(DOWN, HEALTHY, HEALTHY)
    assert fleet.chosen() is fleet.chosen()


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((HEALTHY, BUSY, HEALTHY), (A, B, C)),
        ((DOWN, HEALTHY, BUSY), (B, C)),
        ((LOADING, RECOVERING, BUSY), (C,)),
        ((NOT_PROBED, HEALTHY, DRAINING), (B,)),
        ((DOWN, RECOVERING, NOT_PROBED), (B, C)),
        ((NOT_PROBED, NOT_PROBED, NOT_PROBED), (A, B, C)),
        ((DOWN, DOWN, LOADING), ()),
        ((STALLED, HEALTHY, DOWN), (B,)),
        ((STALLED, RECOVERING, DOWN), (B,)),
        ((STALLED, NOT_PROBED, STALLED), (B,)),
    ],
)
def test_verdicts_decide_in_ranks(
    fleet: Fleet, verdicts: tuple[BackendHealth, ...], expected: tuple[Backend, ...]
) -> None:
    fleet.say(*verdicts)
    assert fleet.chosen().backends == expected
    assert fleet.chosen().trial is None


def test_who_was_never_probed_is_kept_for_those_who_get_nothing_from_the_others(fleet: Fleet) -> None:
    fleet.say(NOT_PROBED, HEALTHY, NOT_PROBED)
    assert fleet.chosen() == Choice((B,), reserve=(A, C))
    fleet.open(A)
    assert fleet.chosen() == Choice((B,), reserve=(C,))
    fleet.say(LOADING, HEALTHY, RECOVERING)
    assert fleet.chosen() == Choice((B,))
    fleet.say(NOT_PROBED, RECOVERING, DOWN)
    fleet.breaker.reset(0)
    assert fleet.chosen().reserve == ()


def test_before_the_prober_says_anything_everybody_may_be_tried() -> None:
    fleet = Fleet()
    assert fleet.chosen() == Choice(CHAT.backends)


@pytest.mark.parametrize(
    ("verdicts", "why"),
    [((DOWN, DOWN, DOWN), "down"), ((DOWN, LOADING, DOWN), "loading"), ((LOADING, LOADING, LOADING), "loading")],
)
def test_nobody_is_said_with_the_reason_and_when_the_next_probe_is_due(
    fleet: Fleet, verdicts: tuple[BackendHealth, ...], why: str
) -> None:
    fleet.say(*verdicts)
    assert fleet.chosen() == Choice((), None, 1.0, why)


@pytest.mark.parametrize(
    ("lasts", "retry_after"), [(0.0, 1.0), (10.0, 1.0), (100.0, 10.0), (599.0, 59.9), (601.0, 60.0), (90_000.0, 60.0)]
)
def test_the_longer_nobody_is_there_the_later_a_client_is_told_to_come_back(
    fleet: Fleet, lasts: float, retry_after: float
) -> None:
    fleet.say(DOWN, LOADING, DOWN)
    fleet.advance(lasts)
    assert fleet.chosen().retry_after == pytest.approx(retry_after)


def test_it_lasts_from_when_the_last_one_went(fleet: Fleet) -> None:
    fleet.say(DOWN, HEALTHY, DOWN)
    fleet.advance(1000.0)
    fleet.say(DOWN, replace(DOWN, since=fleet.clock.now), DOWN)
    assert fleet.chosen().retry_after == 1.0
    fleet.advance(50.0)
    assert fleet.chosen().retry_after == 5.0


def test_where_probes_are_frequent_a_client_is_told_to_come_back_as_soon(fleet: Fleet) -> None:
    often = Availability(fleet.board, fleet.breaker, fleet.clock, 0.25)
    fleet.say(DOWN, DOWN, DOWN)
    assert often.of(CHAT).retry_after == 0.25


def test_a_change_is_seen_by_the_next_request(fleet: Fleet) -> None:
    for verdict, expected in ((DOWN, (B, C)), (RECOVERING, (B, C)), (HEALTHY, (A, B, C))):
        fleet.say(verdict, HEALTHY, HEALTHY)
        assert fleet.chosen().backends == expected


def test_a_change_is_seen_by_each_group_whichever_is_asked_first(fleet: Fleet) -> None:
    fleet.say(DOWN, HEALTHY, HEALTHY)
    fleet.say(RECOVERING, group=EMBED)
    assert (fleet.chosen().backends, fleet.chosen(EMBED).backends) == ((B, C), EMBED.backends)
    fleet.say(DOWN, DOWN, HEALTHY)
    fleet.say(DOWN, group=EMBED)
    assert (fleet.chosen().backends, fleet.chosen(EMBED).backends) == ((C,), ())
    fleet.say(DOWN, HEALTHY, DOWN)
    fleet.say(HEALTHY, group=EMBED)
    assert (fleet.chosen(EMBED).backends, fleet.chosen().backends) == (EMBED.backends, (B,))


def test_an_open_circuit_takes_its_backend_out_until_its_trial_is_due(fleet: Fleet) -> None:
    fleet.open(A)
    assert fleet.chosen() == Choice((B, C))
    fleet.advance(PAUSE - 0.001)
    assert fleet.chosen() == Choice((B, C))
    fleet.advance(0.001)
    assert fleet.chosen() == Choice((B, C), trial=A)


def test_while_a_trial_runs_no_other_is_offered_until_it_is_overdue(fleet: Fleet) -> None:
    fleet.open(A)
    fleet.advance(PAUSE)
    assert fleet.chosen().trial == A
    assert fleet.take_trial(A)
    assert fleet.chosen() == Choice((B, C))
    fleet.advance(PAUSE)
    assert fleet.chosen() == Choice((B, C), trial=A)
    fleet.breaker.succeeded(0, trial=fleet.take_trial(A))
    assert fleet.chosen() == Choice((A, B, C))


def test_a_trial_that_is_given_back_is_offered_again(fleet: Fleet) -> None:
    fleet.open(A)
    fleet.advance(PAUSE)
    number = fleet.take_trial(A)
    assert fleet.chosen().trial is None
    fleet.breaker.neutral(0, trial=number)
    assert fleet.chosen().trial == A


def test_who_is_down_gets_no_trial(fleet: Fleet) -> None:
    fleet.open(A)
    fleet.say(DOWN, HEALTHY, HEALTHY)
    fleet.advance(PAUSE)
    assert fleet.chosen() == Choice((B, C))
    fleet.say(RECOVERING, HEALTHY, HEALTHY)
    assert fleet.chosen() == Choice((B, C), trial=A)


def test_the_trial_of_whoever_waited_longest_comes_first(fleet: Fleet) -> None:
    fleet.open(B)
    fleet.advance(1.0)
    fleet.open(A)
    fleet.advance(PAUSE)
    assert fleet.chosen() == Choice((C,), trial=B)
    assert fleet.take_trial(B)
    assert fleet.chosen() == Choice((C,), trial=A)


def test_when_all_circuits_are_open_everybody_is_asked_and_the_first_trial_is_of_who_waited_longest(
    fleet: Fleet,
) -> None:
    fleet.open(C)
    fleet.advance(1.0)
    fleet.open(A, B)
    assert fleet.chosen() == Choice((A, B, C))
    fleet.advance(PAUSE)
    assert fleet.chosen() == Choice((A, B, C), trial=C)
    fleet.breaker.failed(2, trial=fleet.take_trial(C))
    assert fleet.chosen() == Choice((A, B, C), trial=A)
    fleet.say(HEALTHY, DOWN, HEALTHY)
    fleet.breaker.trip(2)
    assert fleet.chosen() == Choice((A,), trial=A)


def test_when_all_circuits_are_open_a_success_lets_its_backend_be_tried_at_once(fleet: Fleet) -> None:
    fleet.open(A, B, C)
    assert fleet.chosen().trial is None
    fleet.breaker.succeeded(1)
    assert fleet.chosen() == Choice((A, B, C), trial=B)
    fleet.breaker.succeeded(1, trial=fleet.take_trial(B))
    assert fleet.chosen() == Choice((B,))
    fleet.breaker.succeeded(0)  # sent before: from now on there is somebody else
    assert fleet.chosen() == Choice((B,))


def test_the_only_replica_of_a_group_is_not_taken_out_by_its_circuit(fleet: Fleet) -> None:
    fleet.open(*EMBED.backends)
    assert fleet.chosen(EMBED) == Choice(EMBED.backends)
    assert fleet.chosen() == Choice(CHAT.backends)


def test_the_last_replica_of_a_group_is_not_taken_out_for_being_suspected_to_hang(fleet: Fleet) -> None:
    embed = EMBED.backends[0]
    fleet.say(STALLED, group=EMBED)
    assert fleet.chosen(EMBED) == Choice((), None, 1.0, "down", at_last=Choice(EMBED.backends))
    fleet.open(embed)
    assert fleet.chosen(EMBED).at_last == Choice(EMBED.backends)
    fleet.advance(PAUSE)
    assert fleet.chosen(EMBED).at_last == Choice(EMBED.backends, trial=embed)
    fleet.say(DOWN, group=EMBED)
    assert fleet.chosen(EMBED)[::4] == ((), None)
    fleet.say(STALLED, DOWN, LOADING)
    assert fleet.chosen().at_last == Choice((A,))
    fleet.say(STALLED, STALLED, DOWN)
    assert fleet.chosen().at_last == Choice((A, B))


def test_one_that_is_suspected_to_hang_gives_way_to_a_replica_whose_circuit_is_open_and_gets_no_trial(
    fleet: Fleet,
) -> None:
    fleet.say(STALLED, HEALTHY, DOWN)
    fleet.open(A, B)
    fleet.advance(PAUSE)
    assert fleet.chosen() == Choice((B,), trial=B)
    assert fleet.take_trial(B)
    assert fleet.chosen() == Choice((B,))


def test_one_that_is_suspected_to_hang_is_asked_beside_one_that_drains_which_is_still_tried_each_second(
    fleet: Fleet,
) -> None:
    fleet.say(STALLED, replace(DRAINING, streak=3), DOWN)
    fleet.breaker.trip(1)
    assert fleet.chosen() == Choice((), None, 1.0, "draining", at_last=Choice((A,)))
    fleet.advance(1.0)
    assert fleet.chosen() == Choice((), B, 1.0, "draining", at_last=Choice((A,), trial=B))


def test_a_suspicion_counts_for_nothing_once_a_probe_proves_more(fleet: Fleet) -> None:
    fleet.say(STALLED, DOWN, STALLED)
    assert fleet.chosen().at_last == Choice((A, C))
    fleet.say(STALLED, DOWN, DOWN)
    assert fleet.chosen().at_last == Choice((A,))
    fleet.say(DOWN, DOWN, DOWN)
    assert fleet.chosen() == Choice((), None, 1.0, "down")
    fleet.say(STALLED, DOWN, RECOVERING)
    assert fleet.chosen() == Choice((C,))


def test_a_healthy_replica_with_an_open_circuit_is_better_than_none(fleet: Fleet) -> None:
    fleet.say(DOWN, HEALTHY, LOADING)
    fleet.open(B)
    assert fleet.chosen() == Choice((B,))


def test_who_drains_is_left_before_the_prober_says_so_and_even_if_there_is_nobody_else(fleet: Fleet) -> None:
    fleet.breaker.trip(0)
    assert fleet.chosen() == Choice((B, C))
    fleet.say(DRAINING, DOWN, DOWN)
    assert fleet.chosen() == Choice((), None, 1.0, "draining")


def test_who_drained_gets_one_request_when_its_pause_is_over_and_no_more(fleet: Fleet) -> None:
    embed = EMBED.backends[0]
    index = fleet.board.index(embed.name)
    fleet.breaker.trip(index)
    fleet.say(replace(DRAINING, streak=-1), group=EMBED)
    fleet.advance(PAUSE - 5)
    assert fleet.chosen(EMBED) == Choice((), None, 5.0, "draining")
    fleet.advance(1.0)
    assert fleet.chosen(EMBED) == Choice((), None, 4.0, "draining")
    fleet.advance(4.0)
    assert fleet.chosen(EMBED) == Choice((), embed, 3.0, "draining")
    number = fleet.take_trial(embed)
    assert fleet.chosen(EMBED) == Choice((), None, PAUSE, "draining")
    fleet.breaker.succeeded(index, trial=number)
    assert fleet.chosen(EMBED) == Choice((embed,))


@pytest.mark.parametrize("verdict", [DRAINING, HEALTHY])
def test_who_says_that_it_drains_and_is_well_is_tried_each_second_while_nobody_else_is_left(
    fleet: Fleet, verdict: BackendHealth
) -> None:
    well = replace(verdict, streak=3)
    fleet.say(well, well, DOWN)
    for backend in (A, B):
        fleet.breaker.trip(fleet.board.index(backend.name))
    assert fleet.chosen() == Choice((), None, 1.0, "draining")
    for _ in range(3):
        fleet.advance(1.0)
        assert fleet.chosen().trial == A
        fleet.breaker.trip(0, trial=fleet.take_trial(A))
        assert fleet.chosen().trial == B
        fleet.breaker.trip(1, trial=fleet.take_trial(B))
        assert fleet.chosen() == Choice((), None, 1.0, "draining")
    fleet.advance(1.0)
    assert fleet.chosen().trial == A
    fleet.breaker.succeeded(0, trial=fleet.take_trial(A))
    fleet.breaker.trip(1)
    assert fleet.chosen() == Choice((A,))
    assert fleet.breaker.retry_at(1) == fleet.clock.now + PAUSE  # there is somebody else


def test_who_says_that_it_drains_keeps_its_pause_while_somebody_else_is_left(fleet: Fleet) -> None:
    fleet.say(replace(DRAINING, streak=3), HEALTHY, HEALTHY)
    fleet.breaker.trip(0)
    fleet.advance(PAUSE - 0.001)
    assert fleet.chosen() == Choice((B, C))


def test_who_came_back_gets_one_request_first(fleet: Fleet) -> None:
    fleet.breaker.reset(0)
    assert fleet.chosen() == Choice((B, C), trial=A)
    number = fleet.take_trial(A)
    assert fleet.chosen() == Choice((B, C))
    fleet.breaker.succeeded(0, trial=number)
    assert fleet.chosen() == Choice((A, B, C))


def test_what_a_dead_prober_said_counts_no_longer(fleet: Fleet) -> None:
    fleet.say(DOWN, HEALTHY, DOWN)
    assert fleet.chosen().backends == (B,)
    fleet.clock.advance(3 * INTERVAL)
    assert fleet.chosen().backends == (B,)
    fleet.clock.advance(0.001)
    assert fleet.chosen().backends == (A, B, C)
    fleet.board.beat(fleet.clock.now)  # it lives after all, and has nothing new to say
    fleet.clock.advance(1.0)
    assert fleet.chosen().backends == (B,)


def test_circuits_count_without_a_prober_too(fleet: Fleet) -> None:
    fleet.say(DOWN, HEALTHY, DOWN)
    fleet.open(A)
    fleet.clock.advance(3 * INTERVAL + 1)
    assert fleet.chosen() == Choice((B, C), trial=A)


def test_where_probes_are_frequent_a_prober_has_three_seconds_to_beat(fleet: Fleet) -> None:
    often = Availability(fleet.board, fleet.breaker, fleet.clock, 0.25)
    fleet.say(DOWN, HEALTHY, DOWN)
    fleet.clock.advance(3.0)
    assert often.of(CHAT).backends == (B,)
    fleet.clock.advance(0.01)
    assert often.of(CHAT).backends == (A, B, C)


def test_what_was_read_while_a_circuit_is_changed_is_not_kept(fleet: Fleet) -> None:
    """Its writer may have died over it, so that the epoch never changes again."""
    with fleet.board.changing():
        before = fleet.chosen()
        fleet.board.circuits.until[0] = fleet.clock.now + PAUSE
        assert (before, fleet.chosen()) == (Choice((A, B, C)), Choice((B, C)))
        fleet.board.circuits.until[0] = 0.0
        assert fleet.chosen() == Choice((A, B, C))


def test_between_the_epoch_and_what_it_tells_of_stands_a_fence(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """On x86-64 it changes nothing that could be seen: so verdicts come just there, where arm64 might let them in."""
    coming = [(DOWN, HEALTHY, HEALTHY), (DOWN, DOWN, HEALTHY)]

    def passed() -> None:
        fleet.say(*coming.pop(0))

    monkeypatch.setattr(availability, "fence", passed)
    assert fleet.chosen() == Choice((B, C))  # all was read behind it
    assert fleet.chosen() == Choice((C,))  # and the epoch before it, so that this was not taken for the last word
    assert coming == []


def test_a_verdict_of_another_process_is_seen() -> None:
    """The cases above in one process; here through shared memory, as in a worker."""
    page = create_board()
    prober = Board(CHAT.backends, page)
    board = Board(CHAT.backends, page, 1)
    clock = HandTime(time.monotonic())
    worker = Availability(board, Breaker(board, BreakerSettings(), clock), clock, INTERVAL)
    prober.beat(clock.now)
    for backend in CHAT.backends:
        prober.publish(backend.name, HEALTHY)
    assert worker.of(CHAT) == Choice(CHAT.backends)
    prober.publish("chat1", DOWN)
    assert worker.of(CHAT) == Choice((A, C))
    Breaker(prober, BreakerSettings(), clock).trip(0, Why.DRAINING)
    assert worker.of(CHAT) == Choice((C,))
    os.close(page)


def test_who_is_drained_gets_nothing_even_where_nobody_else_is_left(fleet: Fleet) -> None:
    fleet.say(*[HEALTHY] * len(CHAT.backends))
    first, *others = CHAT.backends
    drained = replace(CHAT, backends=(replace(first, drained=True), *others))
    assert fleet.chosen(drained).backends == tuple(others)
    gone = replace(CHAT, backends=tuple(replace(one, drained=True) for one in CHAT.backends))
    choice = fleet.chosen(gone)
    assert (choice.backends, choice.trial, choice.why) == ((), None, State.DRAINING)
    assert choice.retry_after > 0
    assert fleet.chosen().backends == CHAT.backends, "whoever began before goes on as it began"
