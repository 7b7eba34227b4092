"""Every policy that the setting may name has a row, and every row makes a policy."""

from random import Random

import pytest

from gateway.core.fleet import Backend
from gateway.routing.policies import POLICIES, Means
from gateway.routing.settings import Balancing
from tests.core.hand_time import HandTime

pytestmark = pytest.mark.anyio


async def turn(_: str) -> int:
    return 0


def test_every_name_has_a_row() -> None:
    assert set(POLICIES) == set(Balancing)


@pytest.mark.parametrize("name", Balancing)
async def test_a_row_makes_a_policy_that_orders_all_it_is_given(name: Balancing) -> None:
    backends = tuple(Backend(f"chat{number}", f"http://c{number}:8000") for number in range(4))
    policy = POLICIES[name](Means(turn, lambda _: 0, HandTime(), Random(1)))  # noqa: S311 -- no secret
    order = await policy.order("chat", backends)
    assert sorted(backend.name for backend in order) == [backend.name for backend in backends]
    policy.failed("chat0")
