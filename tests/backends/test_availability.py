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
from gateway.backends.health import BackendHealth
from gateway.core.fleet import Backend
from tests.backends.choosing import (
    BUSY,
    CHAT,
    DOWN,
    DRAINING,
    EMBED,
    INTERVAL,
    LOADING,
    NOT_PROBED,
    PAUSE,
    RECOVERING,
    STALLED,
    A,
    B,
    C,
    Fleet,
)
from tests.backends.sharing import HEALTHY
from tests.core.hand_time import HandTime


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
