"""Who keeps the control process alive: real processes that serve, die, fail, or do not end when they are told to."""

import asyncio
import logging
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.observability.families.processes import CONTROL_DEATHS
from gateway.observability.totals import Totals
from gateway.server import control as module
from gateway.server.blueprint import Alone, Blueprint
from gateway.server.control import ControlKeeper
from gateway.server.generation import Generation
from gateway.server.keeper import STEADY_SECS, WorkerFailedError
from gateway.server.pulse import Pulse
from gateway.server.settings import ServerSettings
from tests.server.stand_ins import EstateStandIn, serves

pytestmark = pytest.mark.anyio

CONTROLS = "tests.server.controls"


class Estate(EstateStandIn):
    """What generations share, where workers are stand-ins and control processes are real.

    Attributes:
        no_page: pages that cannot be had any more before one can.
    """

    def __init__(self, folder: Path, at_birth: Callable[[Any], object] = lambda _: None) -> None:
        super().__init__(at_birth)
        self.totals = Totals()
        self.exporter.page = self.page
        self.control_socket = str(folder / "control.sock")
        self.relieve: Callable[[], None] = lambda: None
        self.no_page = 0

    def page(self) -> Any:
        if self.no_page:
            self.no_page -= 1
            raise OSError("too many open files")
        return self.totals.page()

    @property
    def deaths(self) -> float:
        """As counted."""
        figure: Any = self.figures.figure(CONTROL_DEATHS)
        return float(figure._values[figure._slot])

    def answers(self) -> bool:
        """Whether somebody listens where workers ask."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.control_socket) == 0


@pytest.fixture
def folder() -> Any:
    with tempfile.TemporaryDirectory(prefix="gw-") as short:  # the name of a unix socket stands behind it
        yield Path(short)


@pytest.fixture
def estate(folder: Path) -> Estate:
    return Estate(folder)


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is logged, and nobody waits for long."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "BACKOFF_SECS", (0.01,))


def blueprint(how: str) -> Blueprint:
    return Blueprint(settings=[("how", how)], control=CONTROLS)  # type: ignore[arg-type]  # the control process alone reads it


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.message == name]


def seen(caplog: pytest.LogCaptureFixture, name: str, times: int) -> bool:
    return len(events(caplog, name)) == times


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 -- a process tells nobody
            await asyncio.sleep(0.005)  # noqa: TID251 -- a real process keeps real time


def serving() -> "asyncio.Future[None]":
    """That of a generation whose workers serve."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


@asynccontextmanager
async def kept(estate: Estate, how: str) -> AsyncIterator[ControlKeeper]:
    """A keeper that runs, and is told to end at the end."""
    keeper = ControlKeeper(estate.as_estate(), blueprint(how), Alone())
    running = asyncio.create_task(keeper.run(serving()))
    try:
        yield keeper
    finally:
        keeper.end()
        await asyncio.wait_for(running, 30)
        assert keeper._process is None


async def test_it_starts_when_the_workers_serve_and_not_before(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    workers: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    keeper = ControlKeeper(estate.as_estate(), blueprint("serves"), Alone())
    running = asyncio.create_task(keeper.run(workers))
    for _ in range(10):
        await asyncio.sleep(0)  # noqa: TID251 -- turns of the loop, no time
    assert keeper._process is None
    workers.set_result(None)
    await until(estate.answers)
    await until(lambda: events(caplog, "control_serving"))
    keeper.end()
    await asyncio.wait_for(running, 30)
    assert (estate.deaths, estate.answers()) == (0, False)


class Looking(Alone):
    """A companion whose first look takes as long as the test wants."""

    def __init__(self) -> None:
        self.looked = asyncio.Event()
        self.asked = False

    async def first_round(self) -> None:
        self.asked = True
        await self.looked.wait()


@pytest.mark.parametrize("looks", [True, False])
async def test_it_lets_the_first_look_at_the_fleet_go_before_it_for_a_while(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, *, looks: bool
) -> None:
    monkeypatch.setattr(module, "FIRST_LOOK_SECS", 3600.0 if looks else 0.01)
    companion = Looking()
    keeper = ControlKeeper(estate.as_estate(), blueprint("serves"), companion)
    running = asyncio.create_task(keeper.run(serving()))
    await until(lambda: companion.asked)
    assert keeper._process is None
    if looks:
        companion.looked.set()
    await until(estate.answers)
    keeper.end()
    await asyncio.wait_for(running, 30)


async def test_one_that_waits_for_the_first_look_is_never_started_when_all_is_to_end(estate: Estate) -> None:
    companion = Looking()
    estate.no_page = 1
    keeper = ControlKeeper(estate.as_estate(), blueprint("serves"), companion)
    running = asyncio.create_task(keeper.run(serving()))
    await until(lambda: companion.asked)
    keeper.end()
    await asyncio.wait_for(running, 30)
    assert estate.no_page == 1  # no page was asked for, so no process


@pytest.mark.parametrize("how", ["fails", "is wanted no more"])
async def test_where_the_workers_never_serve_there_is_none(estate: Estate, how: str) -> None:
    workers: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    keeper = ControlKeeper(estate.as_estate(), blueprint("serves"), Alone())
    estate.no_page = 1
    running = asyncio.create_task(keeper.run(workers))
    if how == "fails":
        workers.set_exception(WorkerFailedError("no memory"))
    else:
        await asyncio.sleep(0)  # noqa: TID251 -- it waits now
        keeper.end()
    await asyncio.wait_for(running, 30)
    assert estate.no_page == 1  # no page was asked for, so no process


async def test_one_that_is_killed_is_replaced_and_counted_and_answers_at_the_same_place(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(estate, "serves"):
        for times in range(1, 4):
            await until(partial(seen, caplog, "control_serving", times))
            assert estate.answers()
            os.kill(events(caplog, "control_serving")[-1]["pid"], signal.SIGKILL)
            await until(partial(seen, caplog, "control_died", times))
        await until(lambda: len(events(caplog, "control_serving")) == 4)
        assert estate.answers()
    assert estate.deaths == 3
    assert {event["how"] for event in events(caplog, "control_died")} == {"was killed by SIGKILL"}


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stands still is not waited for half a minute, but longer than from one beat to the next."""
    monkeypatch.setattr(module, "HUNG_LOOKS", 12)
    monkeypatch.setattr(module, "LOOK_SECS", 0.25)


@pytest.mark.usefixtures("quickly")
async def test_one_that_hangs_is_killed_and_replaced(estate: Estate, caplog: pytest.LogCaptureFixture) -> None:
    async with kept(estate, "beats"):
        await until(lambda: events(caplog, "control_serving"))
        hung = events(caplog, "control_serving")[0]["pid"]
        os.kill(hung, signal.SIGSTOP)
        await until(lambda: len(events(caplog, "control_serving")) == 2)
        assert estate.answers()
    (blocked,), (died,) = events(caplog, "control_blocked"), events(caplog, "control_died")
    assert (blocked["pid"], blocked["stack"]) == (hung, [])
    assert blocked["blocked_secs"] > 1.0
    assert died["how"] == "stood still for 3 s and was killed"
    assert estate.deaths == 1


class LookedAt(Pulse):
    """A pulse that knows how often somebody looked at it or at another one."""

    looks = 0

    def last(self) -> float:
        LookedAt.looks += 1
        return super().last()


async def test_one_whose_loop_has_not_begun_to_turn_is_waited_for_longer(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HUNG_LOOKS", 3)
    monkeypatch.setattr(module, "START_LOOKS", 1_000_000)
    monkeypatch.setattr(module, "LOOK_SECS", 0.005)
    monkeypatch.setattr(module, "Pulse", LookedAt)
    async with kept(estate, "silent"):
        await until(lambda: LookedAt.looks > 3 * module.HUNG_LOOKS)
    assert not events(caplog, "control_blocked")
    assert estate.deaths == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["in its start", "by a signal"])
async def test_one_that_never_begins_is_killed_and_replaced(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, stopped: bool
) -> None:
    monkeypatch.setattr(module, "START_LOOKS", 4)
    monkeypatch.setattr(module, "LOOK_SECS", 0.05)
    async with kept(estate, "silent") as keeper:
        await until(lambda: keeper._process)
        assert keeper._process is not None
        pid = keeper._process.pid
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        await until(lambda: keeper._process and keeper._process.pid != pid)
    blocked, died = events(caplog, "control_blocked")[0], events(caplog, "control_died")[0]
    assert (blocked["pid"], blocked["stack"]) == (pid, [])
    assert blocked["blocked_secs"] >= 0.2
    assert died["how"] == "did not begin within 0.2 s and was killed"
    assert estate.deaths >= 1


@pytest.mark.parametrize(
    ("how", "said"), [("dies", "ended with status 7"), ("fails", "the database is of a newer release")]
)
async def test_why_it_died_is_said(estate: Estate, how: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    async with kept(estate, how):
        await until(lambda: events(caplog, "control_died"))
    assert {event["how"] for event in events(caplog, "control_died")} == {said}
    assert not events(caplog, "control_serving")


async def test_one_that_ends_unasked_has_died_too(estate: Estate, caplog: pytest.LogCaptureFixture) -> None:
    async with kept(estate, "serves"):
        await until(lambda: events(caplog, "control_serving"))
        os.kill(events(caplog, "control_serving")[0]["pid"], signal.SIGTERM)
        await until(lambda: len(events(caplog, "control_serving")) == 2)
    assert [event["how"] for event in events(caplog, "control_died")] == ["ended unasked"]
    assert estate.deaths == 1


@pytest.mark.parametrize("steady", [STEADY_SECS, 0.0], ids=["at once", "after it has loaded for long"])
async def test_one_that_crashes_in_a_loop_is_waited_for_longer_each_time(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, steady: float
) -> None:
    monkeypatch.setattr(module, "STEADY_SECS", steady)
    monkeypatch.setattr(module, "BACKOFF_SECS", (0.0, 0.001, 0.002, 3600.0))
    async with kept(estate, "dies"):
        await until(lambda: len(events(caplog, "control_died")) == 4)
        waits = [event["next_in_secs"] for event in events(caplog, "control_died")]
        assert waits == [0.0, 0.001, 0.002, 3600.0]
    assert estate.deaths == 4  # and it was not waited for an hour when all was to end


async def test_who_follows_one_that_never_began_starts_later_and_may_load_for_longer(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEADY_SECS", 0.0)  # however long it has loaded
    monkeypatch.setattr(module, "BACKOFF_SECS", (0.0, 0.001, 0.002, 0.003))
    monkeypatch.setattr(module, "LOOK_SECS", 0.25)  # a binary fraction: the figures below are exact
    monkeypatch.setattr(module, "START_LOOKS", 1)
    monkeypatch.setattr(module, "MOST_START_LOOKS", 3)
    async with kept(estate, "silent"):
        await until(lambda: len(events(caplog, "control_died")) >= 4)
    deaths = events(caplog, "control_died")[:4]
    assert [death["how"] for death in deaths] == [
        f"did not begin within {secs} s and was killed" for secs in ("0.25", "0.5", "0.75", "0.75")
    ]
    assert [death["next_may_load_secs"] for death in deaths] == [0.5, 0.75, 0.75, 0.75]
    assert [death["next_in_secs"] for death in deaths] == [0.0, 0.001, 0.002, 0.003]


async def test_one_that_has_lived_is_replaced_at_once(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECS", (0.0, 3600.0))
    monkeypatch.setattr(module, "STEADY_SECS", 0.0)
    async with kept(estate, "serves"):
        for times in range(1, 5):
            await until(partial(seen, caplog, "control_serving", times))
            os.kill(events(caplog, "control_serving")[-1]["pid"], signal.SIGKILL)
            await until(partial(seen, caplog, "control_died", times))
    assert {event.get("next_in_secs", 0.0) for event in events(caplog, "control_died")} == {0.0}
    assert {event.get("next_may_load_secs") for event in events(caplog, "control_died")} <= {60.0, None}


async def test_one_that_served_makes_nothing_steady_of_those_that_never_do(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEADY_SECS", 0.0)
    monkeypatch.setattr(module, "BACKOFF_SECS", (0.0, 0.001, 3600.0))
    async with kept(estate, "serves") as keeper:
        await until(partial(seen, caplog, "control_serving", 1))
        keeper._blueprint = blueprint("dies")
        os.kill(events(caplog, "control_serving")[0]["pid"], signal.SIGKILL)
        await until(partial(seen, caplog, "control_died", 4))
        assert [event["next_in_secs"] for event in events(caplog, "control_died")] == [0.0, 0.0, 0.001, 3600.0]


async def test_one_that_cannot_be_started_is_tried_again(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOT_STARTED_SECS", 0.001)
    estate.no_page = 2
    async with kept(estate, "serves"):
        await until(lambda: events(caplog, "control_serving"))
    assert [event["how"] for event in events(caplog, "control_died")] == ["cannot be started: too many open files"] * 2


@pytest.mark.parametrize("how", ["serves", "silent"])
async def test_one_that_ends_as_it_is_told_has_not_died(
    estate: Estate, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(estate, how) as keeper:
        await until(lambda: keeper._process)
        if how == "serves":
            await until(lambda: events(caplog, "control_serving"))
    assert estate.deaths == 0
    assert not events(caplog, "control_died")


async def test_one_that_does_not_end_in_its_time_is_killed(
    estate: Estate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "END_SECS", 0.05)
    async with kept(estate, "deaf"):
        await until(lambda: events(caplog, "control_serving"))
    (event,) = events(caplog, "control_overdue")
    assert event["pid"] == events(caplog, "control_serving")[0]["pid"]
    assert event["killed_after"] == 0.05
    assert not events(caplog, "control_died")
    assert estate.deaths == 0
    assert not estate.answers()


async def test_the_one_before_goes_on_until_the_next_one_serves_and_then_ends(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(estate, "serves") as before:
        await until(lambda: events(caplog, "control_serving"))
        async with kept(estate, "dies"):
            await until(lambda: events(caplog, "control_died"))
            assert before._process is not None
            assert estate.answers()
        async with kept(estate, "serves"):
            await until(lambda: len(events(caplog, "control_serving")) == 2)
            await until(lambda: before._process is None)
            assert estate.answers()


async def test_it_outlives_the_last_worker_of_its_generation(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    estate = Estate(folder, serves)
    settings = ServerSettings.model_validate({"gateway_workers": 2})
    generation = Generation(Blueprint(settings, control=CONTROLS), estate.as_estate())
    running = asyncio.create_task(generation.run())
    await until(estate.answers)
    generation.retire()
    first, last = estate.born
    first.end(0)
    await until(lambda: events(caplog, "worker_retired"))
    assert estate.answers()
    last.end(0)
    await asyncio.wait_for(running, 30)
    assert (estate.answers(), estate.deaths) == (False, 0)


def generations(estate: Estate, *controls: str) -> list[Generation]:
    """Those that follow each other, whose control processes behave like that."""
    made: list[Generation] = []
    for how in controls:
        settings = ServerSettings.model_validate({"gateway_workers": 1})
        kept_by = Blueprint(settings, control=CONTROLS if how == "serves" else how)
        made.append(Generation(kept_by, estate.as_estate(), made[-1] if made else None))
    return made


async def replaced(before: Generation, after: Generation, estate: Estate) -> "asyncio.Task[None]":
    """The life of `after`, whose workers have taken the place of those before, which have ended."""
    last = estate.born[-1]
    running = asyncio.create_task(after.run())
    await asyncio.wait_for(after.serving, 30)
    before.retire()
    last.end(0)
    await until(lambda: last.code == 0)
    return running


async def test_where_the_next_ones_does_not_serve_yet_it_stays_though_its_workers_have_gone(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    estate = Estate(folder, serves)
    first, second, third = generations(estate, "serves", "no.such.module", "serves")
    lives = [asyncio.create_task(first.run())]
    await until(estate.answers)
    lives.append(await replaced(first, second, estate))
    await until(lambda: len(events(caplog, "control_died")) >= 2)
    assert estate.answers()
    assert not lives[0].done()
    # The second one's never comes to serve: that of the third relieves both.
    lives.append(await replaced(second, third, estate))
    await asyncio.wait_for(asyncio.gather(*lives[:2]), 30)
    assert estate.answers()
    third.retire()
    estate.born[-1].end(0)
    await asyncio.wait_for(lives[2], 30)
    assert not estate.answers()


async def test_one_that_waits_for_the_next_ends_when_all_is_to_end(folder: Path) -> None:
    estate = Estate(folder, serves)
    first, second = generations(estate, "serves", "no.such.module")
    lives = [asyncio.create_task(first.run())]
    await until(estate.answers)
    lives.append(await replaced(first, second, estate))
    estate.stopping.set()
    estate.born[-1].end(0)
    await asyncio.wait_for(asyncio.gather(*lives), 30)
    assert not estate.answers()
