"""By load: the emptier one first, and one that fails fast looks full however little it has to do."""

from collections.abc import Callable
from random import Random

import pytest

from gateway.core.fleet import Backend
from gateway.routing.policies.least_inflight import LeastInflight
from gateway.routing.policies.loads import HALF_LIFE_SECS, Loads
from gateway.routing.policies.power_of_two import PowerOfTwo
from tests.core.hand_time import HandTime

pytestmark = pytest.mark.anyio
BACKENDS = tuple(Backend(f"chat{number}", f"http://c{number}:8000") for number in range(3))
PAIR = BACKENDS[:2]
ByLoad = LeastInflight | PowerOfTwo


class Yard:
    """A policy over replicas whose requests are counted.

    Attributes:
        running: requests at each replica, over all workers.
    """

    def __init__(self, make: Callable[[Loads, Random], ByLoad]) -> None:
        self.time = HandTime()
        self.running = {backend.name: 0 for backend in BACKENDS}
        self.policy = make(Loads(self.running.__getitem__, self.time), Random(7))  # noqa: S311 -- no secret

    async def first(self, backends: tuple[Backend, ...] = PAIR) -> str:
        return (await self.policy.order("chat", backends))[0].name

    async def firsts(self, count: int, every: float = 0.0) -> dict[str, int]:
        """How often each was first; those that fail do so at once, the others keep their requests."""
        chosen = dict.fromkeys(self.running, 0)
        for _ in range(count):
            chosen[await self.first()] += 1
            self.time.advance(every)
        return chosen


@pytest.fixture(params=[LeastInflight, PowerOfTwo])
def yard(request: pytest.FixtureRequest) -> Yard:
    return Yard(request.param)


async def test_the_emptier_one_is_first(yard: Yard) -> None:
    yard.running.update(chat0=5, chat1=4)
    assert {await yard.first() for _ in range(20)} == {"chat1"}


async def test_chance_decides_among_equals(yard: Yard) -> None:
    chosen = await yard.firsts(100)
    assert min(chosen["chat0"], chosen["chat1"]) > 25


async def test_everybody_stands_by_once(yard: Yard) -> None:
    order = await yard.policy.order("chat", BACKENDS)
    assert {backend.name for backend in order} == set(yard.running)
    assert len(order) == 3


@pytest.mark.parametrize("busy", [0, 1, 50, 5000])
async def test_a_replica_that_fails_everything_at_once_attracts_nothing(yard: Yard, busy: int) -> None:
    yard.running["chat1"] = busy
    failing = 0
    for _ in range(1000):  # for a minute
        if await yard.first() == "chat0":
            failing += 1
            yard.policy.failed("chat0")
        yard.time.advance(0.06)
    assert failing <= 12


async def test_one_that_is_well_again_has_its_share_in_a_while(yard: Yard) -> None:
    for _ in range(5):
        yard.policy.failed("chat0")
    assert await yard.firsts(20) == {"chat0": 0, "chat1": 20, "chat2": 0}
    yard.running["chat1"] = 10
    yard.time.advance(8 * HALF_LIFE_SECS)
    assert await yard.first() == "chat0"


async def test_one_failure_among_hundreds_moves_nothing(yard: Yard) -> None:
    yard.running.update(chat0=20, chat1=20)
    await yard.firsts(400, every=0.001)
    yard.policy.failed("chat0")
    yard.running.update(chat0=20, chat1=22)
    assert {await yard.first() for _ in range(5)} == {"chat0"}


async def test_of_three_the_fullest_is_never_first_by_two_choices() -> None:
    yard = Yard(PowerOfTwo)
    yard.running.update(chat0=1, chat1=2, chat2=3)
    firsts = [await yard.first(BACKENDS) for _ in range(60)]
    assert firsts.count("chat2") == 0
    assert firsts.count("chat0") > firsts.count("chat1") > 0
