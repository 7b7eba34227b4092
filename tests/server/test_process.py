"""A worker process from its birth to its end, with nobody to supervise it."""

import signal
from pathlib import Path

import pytest

from gateway.server.process import WorkerProcess
from tests.server.door import eventually

pytestmark = pytest.mark.anyio

FACTORY = "gateway.app:build"


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def descriptors() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


async def test_the_application_is_loaded_before_there_is_an_assignment() -> None:
    with WorkerProcess(FACTORY) as worker:
        # Its store's library is mapped: nothing else of the worker's would load that.
        await eventually(lambda: "lmdb" in Path(f"/proc/{worker.pid}/maps").read_text())
        assert lives(worker.pid)


async def test_a_worker_that_is_given_no_assignment_ends_by_itself_and_says_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with WorkerProcess(FACTORY) as worker:
        worker.channel.close()
        assert await worker.wait() == 1
    assert capfd.readouterr() == ("", "")


async def test_leaving_the_scope_leaves_no_process_and_no_descriptor() -> None:
    before = descriptors()
    with WorkerProcess(FACTORY) as worker:
        assert lives(worker.pid)
    assert not lives(worker.pid)
    assert descriptors() <= before  # others may have ended meanwhile: what earlier tests left to the collector


async def test_the_end_is_told_as_it_was() -> None:
    with WorkerProcess(FACTORY) as worker:
        worker.terminate()
        assert await worker.wait() == -signal.SIGTERM
