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


async def test_who_is_killed_while_its_stack_is_awaited_does_not_end_the_watch(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with serving(tmp_path, GATEWAY_WORKERS="1", WORKER_BLOCKED_SECS="1", METRICS_PORT=str(free_port())) as gateway:
        (stopped,) = gateway.workers()
        os.kill(stopped, signal.SIGSTOP)  # it gives no stack, which is waited for
        await_that(lambda: gateway.figure(FIGURE) == 1)
        os.kill(stopped, signal.SIGKILL)
        await_that(lambda: gateway.events("worker_blocked"))
        assert (gateway.events("worker_blocked")[0]["pid"], gateway.events("worker_blocked")[0]["stack"]) == (
            stopped,
            [],
        )
        assert not gateway.events("watchman_failed")
        gateway.ask(f"/block?{done}")
        await_that(lambda: len(gateway.events("worker_blocked")) == 2)
        done.touch()


class Rounds:
    """Stands in for `look_at` and the time between looks: none passes, and after so many pauses it is enough."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pauses: int) -> None:
        self.looked: list[object] = []
        self.left = pauses
        monkeypatch.setattr(watchman, "look_at", self.look)
        monkeypatch.setattr(watchman, "_pause", self.pause)

    async def look(self, worker: object, workers: set[object], *_: object) -> None:
        """The first look takes so long that all others end meanwhile."""
        self.looked.append(worker)
        workers &= {worker}

    async def pause(self, _: float) -> None:
        if not self.left:
            raise asyncio.CancelledError
        self.left -= 1


async def test_who_has_ended_while_another_was_looked_at_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds(monkeypatch, pauses=1)
    workers = {cast("Worker", object()), cast("Worker", object())}
    with pytest.raises(asyncio.CancelledError):
        await watchman.watch(workers, Metrics(), lambda: 5.0)
    assert rounds.looked == list(workers)


async def test_a_fault_of_a_look_is_told_and_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = Rounds(monkeypatch, pauses=3)  # before the first look, after the fault, before the next

    async def fail(*_: object) -> None:
        monkeypatch.setattr(watchman, "look_at", rounds.look)
        raise OSError("a closed descriptor")

    monkeypatch.setattr(watchman, "look_at", fail)
    with pytest.raises(asyncio.CancelledError):
        await watchman.watch({cast("Worker", object())}, Metrics(), lambda: 5.0)
    assert [record.message for record in caplog.records] == ["watchman_failed"]
    assert len(rounds.looked) == 1


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
