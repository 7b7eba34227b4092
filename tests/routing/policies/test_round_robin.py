"""Turns are taken over all workers together, and the others stand by."""

from itertools import count

import pytest

from gateway.core.fleet import Backend
from gateway.routing.policies.round_robin import RoundRobin

pytestmark = pytest.mark.anyio
A, B, C = (Backend(f"chat{number}", f"http://c{number}:8000") for number in range(3))


async def test_two_workers_that_share_a_counter_alternate_strictly() -> None:
    counter = count()

    async def next_turn(name: str) -> int:
        assert name == "chat"
        return next(counter)

    workers = [RoundRobin(next_turn), RoundRobin(next_turn)]
    orders = [tuple(await workers[turn % 2].order("chat", (A, B))) for turn in range(6)]
    assert orders == [(A, B), (B, A)] * 3


async def test_those_who_are_left_share_the_turns_of_one_who_is_away() -> None:
    counter = count()

    async def next_turn(_: str) -> int:
        return next(counter)

    policy = RoundRobin(next_turn)
    firsts = [(await policy.order("chat", (A, C)))[0] for _ in range(10)]
    assert (firsts.count(A), firsts.count(C)) == (5, 5)


async def test_a_failure_changes_nothing_of_the_turns() -> None:
    async def next_turn(_: str) -> int:
        return 0

    policy = RoundRobin(next_turn)
    policy.failed("chat0")
    assert tuple(await policy.order("chat", (A, B))) == (A, B)
