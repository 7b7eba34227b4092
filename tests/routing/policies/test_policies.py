"""Every policy that the setting may name has a row, and every row makes a policy."""

from random import Random

import pytest

from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.routing.choices import Balancing
from gateway.routing.policies import POLICIES, Means, Policies
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


def group(name: str, policy: str = "") -> BackendGroup:
    return BackendGroup(name, ModelKind.CHAT, name, (), BACKENDS, policy=policy)


BACKENDS = tuple(Backend(f"chat{number}", f"http://c{number}:8000") for number in range(2))


async def test_a_group_may_have_a_policy_of_its_own_and_the_others_keep_theirs() -> None:
    loads = {"chat0": 5, "chat1": 0}
    means = Means(turn, loads.__getitem__, HandTime(), Random(1))  # noqa: S311 -- no secret
    policies = Policies(Balancing.ROUND_ROBIN, means)
    usual = policies.of([group("one")])
    assert policies.of([group("two")]) is usual, "nobody pays for what nobody uses"
    mixed = policies.of([group("one"), group("own", "least_inflight")])
    assert [one.name for one in await mixed.order("one", BACKENDS)] == ["chat0", "chat1"]
    assert [one.name for one in await mixed.order("own", BACKENDS)] == ["chat1", "chat0"]


async def test_what_a_policy_has_learned_outlives_a_change_of_the_fleet() -> None:
    means = Means(turn, lambda _: 0, HandTime(), Random(1))  # noqa: S311 -- no secret
    policies = Policies(Balancing.ROUND_ROBIN, means)
    policies.of([group("own", "least_inflight")]).failed("chat0")
    again = policies.of([group("own", "least_inflight"), group("new")])
    assert [one.name for one in await again.order("own", BACKENDS)] == ["chat1", "chat0"]
