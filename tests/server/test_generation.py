"""What lives and ends together: when a generation serves, and what it waits for until then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.server import generation as module
from gateway.server.blueprint import Alone, Blueprint
from gateway.server.generation import Generation
from gateway.server.keeper import WorkerFailedError
from gateway.server.settings import ServerSettings
from tests.server.stand_ins import EstateStandIn, WorkerStandIn, serves, until

pytestmark = pytest.mark.anyio


class Looking(Alone):
    """A companion whose first look takes as long as the test wants."""

    def __init__(self) -> None:
        self.begun = 0
        self.looked = asyncio.Event()
        self.asked = False

    def begin(self) -> None:
        self.begun += 1

    async def first_round(self) -> None:
        self.asked = True
        await self.looked.wait()


def blueprint(companion: Alone | None = None) -> Blueprint:
    settings = ServerSettings.model_validate({"gateway_workers": 2})
    return Blueprint(settings, companion=lambda _page, _before: companion or Alone())


@asynccontextmanager
async def growing(estate: EstateStandIn, companion: Alone | None = None) -> AsyncIterator[Generation]:
    """A generation that is to replace another."""
    generation = Generation(blueprint(companion), estate.as_estate(), Generation(blueprint(), estate.as_estate()))
    running = asyncio.create_task(generation.run())
    yield generation
    estate.stopping.set()
    for worker in estate.born:
        worker.end(0)
    await asyncio.wait_for(running, 10)


async def test_a_new_worker_that_hangs_in_its_start_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECS", 0.01)
    estate = EstateStandIn()
    async with growing(estate) as generation:
        with pytest.raises(WorkerFailedError, match=r"did not come up within 0\.01 s"):
            await asyncio.wait_for(generation.serving, 10)
        await until(lambda: estate.born[0].told == ["kill"])
        assert len(estate.born) == 1


async def test_the_old_generation_is_not_replaced_before_the_fleet_was_looked_at() -> None:
    companion = Looking()
    async with growing(EstateStandIn(serves), companion) as generation:
        await until(lambda: companion.asked)
        assert not generation.serving.done()
        companion.looked.set()
        await asyncio.wait_for(generation.serving, 10)


async def test_a_first_look_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_ROUND_SECS", 0.01)
    companion = Looking()
    async with growing(EstateStandIn(serves), companion) as generation:
        await asyncio.wait_for(generation.serving, 10)
        assert not companion.looked.is_set()


async def test_beside_others_that_serve_the_fleet_is_looked_at_from_the_start() -> None:
    companion = Looking()
    estate = EstateStandIn()
    async with growing(estate, companion):
        await until(lambda: estate.born)
        assert companion.begun


async def test_where_nobody_serves_yet_the_first_worker_goes_before_the_fleets_first_look() -> None:
    companion = Looking()
    estate = EstateStandIn()
    generation = Generation(blueprint(companion), estate.as_estate())
    running = asyncio.create_task(generation.run())
    await until(lambda: len(estate.born) == 2)
    for _ in range(10):
        await asyncio.sleep(0)  # noqa: TID251 -- turns of the loop, no time
    assert not companion.begun
    serves(estate.born[1])
    await until(lambda: companion.begun)
    estate.stopping.set()
    for worker in estate.born:
        worker.end(0)
    await asyncio.wait_for(running, 10)


async def test_a_fault_after_all_serve_changes_nothing() -> None:
    async with growing(EstateStandIn(serves)) as generation:
        await asyncio.wait_for(generation.serving, 10)
        generation.fail("too late")
        assert generation.serving.exception() is None


async def test_one_that_comes_up_when_all_is_to_end_never_serves() -> None:
    def comes_up(worker: WorkerStandIn) -> None:
        serves(worker)
        if worker.index == 1:
            estate.stopping.set()

    estate = EstateStandIn(comes_up)
    async with growing(estate) as generation:
        await until(lambda: len(estate.born) == 2)
    assert not generation.serving.done()
