"""Whom a request may try of those that are suspected to hang, that drain, or that just came back."""

from dataclasses import replace

import pytest

from gateway.backends.availability import Choice
from gateway.backends.health import BackendHealth, State
from tests.backends.choosing import (
    CHAT,
    DOWN,
    DRAINING,
    EMBED,
    LOADING,
    PAUSE,
    RECOVERING,
    STALLED,
    A,
    B,
    C,
    Fleet,
)
from tests.backends.sharing import HEALTHY


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
