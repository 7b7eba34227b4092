"""A worker whose loop stands still is reported once, with its stack, and lives on."""

import asyncio
import os
import signal
from pathlib import Path
from typing import cast

import pytest

from gateway.observability.metrics import Metrics
from gateway.server import watchman
from gateway.server.life import Worker
from gateway.server.watchman import LOOK_SECS
from tests.server.supervised import await_that, free_port, serving

FIGURE = "gateway_worker_blocked_total"


def test_a_loop_that_stands_still_is_reported_once_with_its_stack_and_lives_on(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path, METRICS_PORT=str(free_port()), GATEWAY_WORKERS="1", WORKER_BLOCKED_SECS="1") as gateway:
        assert gateway.figure(FIGURE) == 0
        pid, index, _, request_ids = gateway.ask().split()
        gateway.ask(f"/block?{done}")
        await_that(lambda: gateway.events("worker_blocked"))
        (event,) = gateway.events("worker_blocked")
        expected = {"worker": int(index), "pid": int(pid), "request_ids": request_ids, "level": "error"}
        assert expected.items() <= event.items()
        assert event["blocked_secs"] >= 1
        assert " in _block" in " ".join(event["stack"][:5])
        assert event["stack"][-1].endswith(" in _run_module_as_main")
        assert str(done) not in " ".join(event["stack"])
        done.touch()
        await_that(lambda: gateway.events("worker_goes_on"))
        assert gateway.ask().split()[0] == pid
        assert len(gateway.events("worker_blocked")) == gateway.figure(FIGURE) == 1
        assert gateway.events("worker_goes_on")[0]["blocked_secs"] >= 1


def test_a_worker_that_is_stopped_is_reported_without_a_stack_and_another_time_with_one(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path, GATEWAY_WORKERS="1", WORKER_BLOCKED_SECS="1") as gateway:
        (pid,) = gateway.workers()
        os.kill(pid, signal.SIGSTOP)
        await_that(lambda: gateway.events("worker_blocked"))
        os.kill(pid, signal.SIGCONT)
        await_that(lambda: gateway.events("worker_goes_on"))
        assert gateway.events("worker_blocked")[0]["stack"] == []
        gateway.ask(f"/block?{done}")
        await_that(lambda: len(gateway.events("worker_blocked")) == 2)
        assert " in _block" in " ".join(gateway.events("worker_blocked")[1]["stack"])
        done.touch()
        await_that(lambda: len(gateway.events("worker_goes_on")) == 2)


async def test_who_comes_late_himself_reports_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host stood still, or the container was paused: every pulse is old then, and none says anything."""
    looked: list[object] = []

    async def look(worker: object, *_: object) -> None:
        looked.append(worker)

    slept: list[float] = []

    async def pause(secs: float) -> None:
        slept.append(secs)
        await asyncio.sleep(0)  # noqa: TID251 -- no time passes
        if len(slept) > len(LATE):
            raise asyncio.CancelledError

    class Loop:
        def time(self) -> float:
            calls = len(slept)
            return sum(LATE[:calls]) + calls * LOOK_SECS

    monkeypatch.setattr(watchman, "look_at", look)
    monkeypatch.setattr(watchman, "_pause", pause)
    monkeypatch.setattr(asyncio, "get_running_loop", Loop)
    worker = cast("Worker", object())
    with pytest.raises(asyncio.CancelledError):
        await watchman.watch([worker], Metrics(), lambda: 5.0)
    assert len(looked) == 2


LATE = [0.0, 3.0, 0.1]
"""By how many seconds a look comes too late, one after the other: the second one does not count."""
