"""Cuts end a request once, with a reason, and other cancellations stay what they are."""

import asyncio

import pytest

from gateway.core.lifeline import Cut, Lifeline

pytestmark = pytest.mark.anyio


async def farewell(started: asyncio.Event, lines: list[Lifeline]) -> str:
    task = asyncio.current_task()
    assert task is not None
    line = Lifeline(task)
    lines.append(line)
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not line.mended():
            raise
        return f"ended: {line.reason}"
    return "never"


async def start() -> tuple["asyncio.Task[str]", Lifeline]:
    started, lines = asyncio.Event(), list[Lifeline]()
    task = asyncio.create_task(farewell(started, lines))
    await started.wait()
    return task, lines[0]


async def test_a_cut_unwinds_the_task_and_names_its_reason() -> None:
    task, line = await start()
    line.cut(Cut.IDLE)
    assert await task == "ended: idle"
    assert task.cancelling() == 0


async def test_the_first_reason_stays_when_two_cuts_race() -> None:
    task, line = await start()
    line.cut(Cut.LIFETIME)
    line.cut(Cut.CLIENT_GONE)
    assert await task == "ended: lifetime"
    assert task.cancelling() == 0


async def test_a_cancellation_from_elsewhere_is_not_mended() -> None:
    task, line = await start()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert line.reason is None


async def test_a_cut_beside_a_foreign_cancellation_still_cancels() -> None:
    task, line = await start()
    line.cut(Cut.IDLE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_finished_request_cannot_be_cut() -> None:
    task, line = await start()
    line.finish()
    line.cut(Cut.SHUTDOWN)
    assert line.reason is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_client_that_leaves_ends_the_farewell_too() -> None:
    started, said = asyncio.Event(), list[str]()
    task, line = await start_with_farewell(started, said)
    line.cut(Cut.LIFETIME)
    await started.wait()
    line.cut(Cut.IDLE)
    line.cut(Cut.CLIENT_GONE)
    await task
    assert said == ["cut short"]
    assert (line.reason, task.cancelling()) == (Cut.LIFETIME, 0)


async def start_with_farewell(started: asyncio.Event, said: list[str]) -> tuple["asyncio.Task[None]", Lifeline]:
    lines, ready = list[Lifeline](), asyncio.Event()

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        lines.append(line := Lifeline(task))
        ready.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()
        assert line.mended()
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            said.append("cut short" if line.mended() else "killed")

    task = asyncio.create_task(run())
    await ready.wait()
    return task, lines[0]


async def test_a_cut_that_lands_when_the_awaited_result_is_there_still_cuts() -> None:
    result = asyncio.get_running_loop().create_future()
    ready, lines = asyncio.Event(), list[Lifeline]()

    async def run() -> str:
        task = asyncio.current_task()
        assert task is not None
        lines.append(line := Lifeline(task))
        ready.set()
        try:
            await result
        except asyncio.CancelledError:
            return f"cut: {line.mended()}"
        return "it went on"

    task = asyncio.create_task(run())
    await ready.wait()
    result.set_result(None)
    lines[0].cut(Cut.CLIENT_GONE)
    assert await task == "cut: True"


async def test_a_cut_from_within_waits_for_the_next_await() -> None:
    task = asyncio.current_task()
    assert task is not None
    line = Lifeline(task)
    line.cut(Cut.CLIENT_GONE)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.get_running_loop().create_future()
    assert line.mended()
    assert not line.mended()


async def test_a_time_out_inside_a_request_does_not_hide_its_cut() -> None:
    task = asyncio.current_task()
    assert task is not None
    line = Lifeline(task)

    async def wait_in_vain() -> None:
        async with asyncio.timeout(0):
            line.cut(Cut.LIFETIME)
            await asyncio.get_running_loop().create_future()

    with pytest.raises(asyncio.CancelledError):
        await wait_in_vain()
    assert line.mended()


async def test_nothing_is_mended_after_the_end() -> None:
    task, line = await start()
    line.cut(Cut.IDLE)
    line.finish()
    assert not line.mended()
    await asyncio.gather(task, return_exceptions=True)
