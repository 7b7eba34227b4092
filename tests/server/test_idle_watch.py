"""A supervisor writes down at every look when a request last ran, also over a disk that fails for a while."""

import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.boot import boot_id
from gateway.core.clock import SystemClock
from gateway.observability.activity import Look
from gateway.observability.families.requests import IN_FLIGHT
from gateway.observability.metrics import Metrics
from gateway.observability.totals import Totals
from gateway.server.idle_watch import IdleWatch, watching
from gateway.server.sighting import find, idleness
from tests.support.gateway import wait_until

BOOT = "this boot"
QUIET, RUNS, RAN = Look(ran=False, running=0), Look(ran=False, running=1), Look(ran=True, running=0)


class Day:
    """Time and looks as a test wants them: each wait moves the clock, and what it asks is noted."""

    def __init__(self, folder: Path, looks: list[Look], waits: int) -> None:
        self.now = 1000.0
        self.noted: list[float | None] = []
        self._folder = folder
        self._looks = iter(looks)
        self._waits = waits
        self.watch = IdleWatch(folder, self.look, lambda: self.now, lambda: BOOT)

    def look(self) -> Look:
        return next(self._looks)

    def wait(self, seconds: float) -> bool:
        """Note how idle it is said to be; True at the last look."""
        found = [one.sighting for one in find(self._folder) if one.alive and one.sighting]
        self.noted.append(self.now - found[0].active_at if found else None)
        self.now += seconds
        return len(self.noted) == self._waits


def test_it_counts_from_the_last_look_that_saw_a_request(tmp_path: Path) -> None:
    day = Day(tmp_path, [QUIET, QUIET, QUIET, RUNS, RUNS, QUIET, RAN, QUIET, QUIET], waits=8)
    day.watch.run(day.wait)
    assert day.noted == [0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 0.0, 1.0]


def test_the_last_look_is_written_before_the_end(tmp_path: Path) -> None:
    day = Day(tmp_path, [QUIET, QUIET, RAN], waits=2)
    day.watch.run(day.wait)
    (left,) = find(tmp_path)
    assert not left.alive
    assert left.sighting
    assert left.sighting.active_at == day.now


def test_a_folder_that_cannot_be_written_is_told_once_and_a_request_meanwhile_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "idle"
    folder.write_text("in the way")
    day = Day(folder, [QUIET, RAN, QUIET, QUIET, QUIET, QUIET], waits=5)
    caplog.set_level(logging.INFO)

    def wait(seconds: float) -> bool:
        if day.now == 1010.0:
            folder.unlink()
        return day.wait(seconds)

    day.watch.run(wait)
    assert [record.message for record in caplog.records] == ["idleness_not_written", "idleness_written_again"]
    # The request was seen at 1010, 5 s before there was a file again.
    assert day.noted == [None, None, None, 5.0, 6.0]


def test_a_folder_that_is_removed_is_made_again_and_nothing_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "idle"
    day = Day(folder, [QUIET, RAN, *[QUIET] * 6], waits=6)

    def wait(seconds: float) -> bool:
        if day.now == 1002.0:
            shutil.rmtree(folder)
        return day.wait(seconds)

    day.watch.run(wait)
    # The request was seen at 1001, and the folder was gone at the look of 1003.
    assert day.noted == [0.0, 0.0, None, None, 7.0, 8.0]


def test_a_fault_of_ours_does_not_end_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    day = Day(tmp_path, [], waits=3)
    looks = iter([QUIET, None, RAN, QUIET])

    def faulty() -> Look:
        found = next(looks)
        if found is None:
            raise RuntimeError("a fault")
        return found

    day.watch = IdleWatch(tmp_path, faulty, lambda: day.now, lambda: BOOT)
    day.watch.run(day.wait)
    assert [record.message for record in caplog.records] == ["idleness_failed"]
    assert [one.alive for one in find(tmp_path)] == [False]


@pytest.fixture
def totals() -> Iterator[tuple[Totals, Metrics]]:
    totals = Totals()
    with totals.page() as page:
        yield totals, Metrics(page)


def test_the_thread_looks_at_real_figures_and_ends_with_its_scope(
    tmp_path: Path, totals: tuple[Totals, Metrics]
) -> None:
    def running() -> int:
        (one,) = find(tmp_path)
        return one.sighting.running if one.sighting else 0

    with watching(tmp_path, totals[0]):
        totals[1].move(IN_FLIGHT, 3)
        wait_until(lambda: find(tmp_path) and running() == 3)
    assert not any(thread.name == "idleness" for thread in threading.enumerate())
    assert [one.alive for one in find(tmp_path)] == [False]


def test_where_nobody_asks_there_is_no_thread(totals: tuple[Totals, Metrics]) -> None:
    with watching(None, totals[0]):
        assert not any(thread.name == "idleness" for thread in threading.enumerate())


def test_a_clock_and_a_boot_are_the_hosts_own(tmp_path: Path, totals: tuple[Totals, Metrics]) -> None:
    with watching(tmp_path, totals[0]):
        wait_until(lambda: any(one.sighting for one in find(tmp_path)))
        assert idleness(tmp_path, boot_id(), SystemClock.monotonic()).gateways == 1
