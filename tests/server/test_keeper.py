"""Who keeps one worker alive: how often, how patiently, and until when."""

import asyncio

import pytest

from gateway.server import channel
from gateway.server import keeper as module
from gateway.server.blueprint import Alone, Blueprint
from gateway.server.keeper import Keeper
from gateway.server.settings import ServerSettings
from tests.server.stand_ins import EstateStandIn, WorkerStandIn, serves, until

pytestmark = pytest.mark.anyio


def settings(**fields: object) -> ServerSettings:
    return ServerSettings.model_validate({"client_keepalive_secs": 0.001, "drain_secs": 0, **fields})


def keeper_of(estate: EstateStandIn, blueprint: Blueprint | None = None) -> Keeper:
    return Keeper(0, estate.as_estate(), blueprint or Blueprint(settings()), Alone())


def dies(worker: WorkerStandIn) -> None:
    serves(worker)
    worker.end(7)


async def test_a_worker_that_crashes_in_a_loop_is_waited_for_longer_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECS", (0.0, 0.001, 0.002, 3600.0))
    estate = EstateStandIn(dies)
    running = asyncio.create_task(keeper_of(estate).run())
    await until(lambda: len(caplog.records) == 4)
    waits = [vars(record)["next_in_secs"] for record in caplog.records if record.message == "worker_died"]
    assert waits == [0.0, 0.001, 0.002, 3600.0]
    await asyncio.sleep(0.01)  # noqa: TID251 -- a wait that is not kept to would be over
    assert len(estate.born) == 4
    estate.stopping.set()
    await asyncio.wait_for(running, 10)


def test_who_crashes_once_is_replaced_at_once_and_nobody_is_waited_for_longer_than_a_quarter_of_a_minute() -> None:
    assert module.BACKOFF_SECS == (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


async def test_a_worker_that_has_lived_is_replaced_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECS", (0.0, 3600.0))
    monkeypatch.setattr(module, "STEADY_SECS", 0.0)
    estate = EstateStandIn(dies)
    running = asyncio.create_task(keeper_of(estate).run())
    await until(lambda: len(estate.born) >= 4)
    assert {vars(record)["next_in_secs"] for record in caplog.records} == {0.0}
    estate.stopping.set()
    await asyncio.wait_for(running, 10)


async def test_a_retiring_worker_is_drained_when_its_time_is_over_and_killed_when_that_does_not_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel, "FAREWELL_SECS", 0.0)
    monkeypatch.setattr(channel, "KILL_MARGIN_SECS", 0.001)
    estate = EstateStandIn(serves)
    keeper = keeper_of(estate)
    running = asyncio.create_task(keeper.run())
    await keeper.serving
    keeper.retire()
    await asyncio.wait_for(running, 10)
    assert [worker.told for worker in estate.born] == [["retire", "terminate", "kill"]]


@pytest.mark.parametrize(("longest", "keepalive"), [(3600.0, 0.001), (0.001, 3600.0)], ids=["request", "idleness"])
async def test_a_retiring_worker_is_waited_for_as_long_as_a_request_or_an_idle_connection_may_last(
    longest: float, keepalive: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "FAREWELL_SECS", 0.0)
    monkeypatch.setattr(channel, "KILL_MARGIN_SECS", 0.001)
    estate = EstateStandIn(serves)
    keeper = keeper_of(estate, Blueprint(settings(client_keepalive_secs=keepalive), longest_request=longest))
    running = asyncio.create_task(keeper.run())
    await keeper.serving
    keeper.retire()
    await asyncio.sleep(0.05)  # noqa: TID251 -- patience that has an end too early would be over
    assert estate.born[0].told == ["retire"]
    estate.born[0].end(0)
    await asyncio.wait_for(running, 10)
    assert len(estate.born) == 1
    assert [deadline.cancelled() for deadline in keeper._deadlines] == [True, True]  # it has nothing left to be told
