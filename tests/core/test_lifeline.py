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
