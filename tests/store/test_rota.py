"""Whose turn it is, decided from places in order and seats taken alone."""

import pytest

from gateway.store.rota import NOWHERE, choose, is_due, whose_turn


@pytest.mark.parametrize(
    ("backends", "choice"),
    [
        ([(1, 0), (0, 0)], 1),
        ([(0, 0), (0, 0)], 0),
        ([(2, 0), (1, 0)], 1),
        ([(2, 0), (2, 0)], NOWHERE),
        ([(0, 1), (1, 0)], 1),
        ([], NOWHERE),
    ],
    ids=["fewest", "first of equals", "room", "full", "waited for", "no candidate"],
)
def test_a_newcomer_sits_where_the_fewest_are_and_nobody_waits(backends: list[tuple[int, int]], choice: int) -> None:
    assert choose(backends, 2) == choice


def test_who_waits_takes_a_seat_that_others_wait_for_too() -> None:
    assert choose([(1, 3), (2, 1)], 2, for_who_waits=True) == 0


@pytest.mark.parametrize(("backends", "due"), [([(1, 1)], True), ([(2, 1)], False), ([(0, 0), (2, 1)], False)])
def test_a_seat_is_due_where_one_is_free_that_somebody_waits_for(backends: list[tuple[int, int]], *, due: bool) -> None:
    assert is_due(backends, 2) is due


def test_the_first_place_that_can_use_a_seat_has_it_and_candidates_alike_are_looked_at_once() -> None:
    looked: list[str] = []

    def seat_at(candidates: str) -> int:
        looked.append(candidates)
        return candidates.find("b")

    places = [("first", "ac"), ("second", "ac"), ("third", "ab"), ("fourth", "b")]
    assert whose_turn(places, seat_at) == ("third", 1)
    assert looked == ["ac", "ab"]
    assert whose_turn(places[:2], seat_at) is None
