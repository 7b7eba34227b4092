"""Turns are taken over all workers together, and the others stand by."""

from itertools import count

import pytest

from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.routing.policies import RoundRobin

pytestmark = pytest.mark.anyio
A, B = Backend("chat0", "http://c0:8000"), Backend("chat1", "http://c1:8000")


async def test_two_workers_that_share_a_counter_alternate_strictly() -> None:
    counter = count()

    async def next_turn(name: str) -> int:
        assert name == "chat"
        return next(counter)

    workers = [RoundRobin(next_turn), RoundRobin(next_turn)]
    group = BackendGroup("chat", ModelKind.CHAT, "qwen", ("qwen",), (A, B))
    orders = [tuple(await workers[turn % 2].order(group)) for turn in range(6)]
    assert orders == [(A, B), (B, A)] * 3
