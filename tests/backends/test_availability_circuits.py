"""Whom a request may try while circuits are open: whose trial is due, or everybody where nobody else is left."""

from gateway.backends.availability import Choice
from tests.backends.choosing import CHAT, DOWN, EMBED, INTERVAL, LOADING, PAUSE, RECOVERING, A, B, C, Fleet
from tests.backends.sharing import HEALTHY


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


def test_a_healthy_replica_with_an_open_circuit_is_better_than_none(fleet: Fleet) -> None:
    fleet.say(DOWN, HEALTHY, LOADING)
    fleet.open(B)
    assert fleet.chosen() == Choice((B,))


def test_circuits_count_without_a_prober_too(fleet: Fleet) -> None:
    fleet.say(DOWN, HEALTHY, DOWN)
    fleet.open(A)
    fleet.clock.advance(3 * INTERVAL + 1)
    assert fleet.chosen() == Choice((B, C), trial=A)
