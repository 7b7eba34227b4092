"""The heavier one has more turns, evenly spread, whichever worker asks."""

from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.fleet import Backend
from gateway.routing.policies.weighted_round_robin import WeightedRoundRobin, orders, smooth

pytestmark = pytest.mark.anyio
A, B, C = (Backend(f"chat{number}", f"http://c{number}:8000", weight) for number, weight in enumerate((4, 2, 1)))


def test_turns_are_spread_as_nginx_spreads_them() -> None:
    assert smooth((5, 1, 1)) == (0, 0, 1, 0, 2, 0, 0)


def test_equal_weights_are_plain_turns_whatever_they_are() -> None:
    assert smooth((7, 7, 7)) == (0, 1, 2)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_a_cycle_has_everybody_as_often_as_its_weight_says(weights: list[int]) -> None:
    cycle = smooth(tuple(weights))
    shares = {place: cycle.count(place) * sum(weights) for place in range(len(weights))}
    assert shares == {place: weight * len(cycle) for place, weight in enumerate(weights)}


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_whoever_fails_is_followed_by_the_one_whose_turn_comes_next(weights: list[int]) -> None:
    cycle = smooth(tuple(weights))
    for turn, order in enumerate(orders(tuple(weights))):
        coming = cycle[turn:] + cycle[:turn]
        assert list(order) == sorted(range(len(weights)), key=coming.index)


@given(st.integers(1, 50), st.integers(1, 50))
def test_of_two_the_lighter_never_has_two_turns_in_a_row(one: int, other: int) -> None:
    cycle = smooth((one, other))
    lighter = 0 if one < other else 1
    if one != other:
        assert (lighter, lighter) not in pairwise(cycle + cycle)


async def test_the_turns_number_decides_so_that_workers_agree() -> None:
    counter = count()

    async def next_turn(_: str) -> int:
        return next(counter)

    workers = [WeightedRoundRobin(next_turn) for _ in range(3)]
    firsts = [(await workers[turn % 3].order("chat", (A, B, C)))[0] for turn in range(14)]
    assert [firsts.count(backend) for backend in (A, B, C)] == [8, 4, 2]


async def test_failover_goes_to_the_others_in_the_order_of_their_turns() -> None:
    counter = count()

    async def next_turn(_: str) -> int:
        return next(counter)

    policy = WeightedRoundRobin(next_turn)
    found = [tuple(await policy.order("chat", (A, B, C))) for _ in range(8)]
    cycle = [(A, B, C), (B, A, C), (A, C, B), (C, A, B), (A, B, C), (B, A, C), (A, B, C)]
    assert smooth((4, 2, 1)) == (0, 1, 0, 2, 0, 1, 0)
    assert found == [*cycle, cycle[0]]


async def test_the_others_stand_by_each_once_and_who_is_away_has_no_turn() -> None:
    async def next_turn(_: str) -> int:
        return 5

    policy = WeightedRoundRobin(next_turn)
    assert sorted((await policy.order("chat", (A, B, C))), key=lambda one: one.name) == [A, B, C]
    assert sorted((await policy.order("chat", (C, A))), key=lambda one: one.name) == [A, C]
    policy.failed("chat0")
