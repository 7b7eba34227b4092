"""Sums over workers are exact at every moment: while they write, when they are killed, and when others follow."""

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.observability.families.limits import ORGANIZATION_QUEUED, RETRY_BUDGET, SLOTS_HELD
from gateway.observability.families.requests import DISCONNECTS, IN_FLIGHT, QUEUE_WAIT
from gateway.observability.metrics import Metrics
from gateway.observability.page import PageWriter
from gateway.observability.totals import Totals

ROOT = Path(__file__).parents[2]
WORKER = """
import mmap, sys
from gateway.observability.families.requests import DISCONNECTS, IN_FLIGHT, QUEUE_WAIT
from gateway.observability.metrics import Metrics
page, progress, limit = map(int, sys.argv[1:])
metrics = Metrics(page)
done = memoryview(mmap.mmap(progress, 8)).cast("q")
metrics.move(IN_FLIGHT, 1)
for number in range(1, limit + 1):
    metrics.count(DISCONNECTS, "queued")
    metrics.observe(QUEUE_WAIT, 0.25, "chat")
    done[0] = number
sys.stdin.read()
"""
ENOUGH = 10**9
"""More than a worker can count before it is killed."""


class Worker:
    """A process that counts in a page, and says beside it how far it has come."""

    def __init__(self, totals: Totals, limit: int) -> None:
        self._scope = contextlib.ExitStack()
        page = self._scope.enter_context(totals.page())
        progress = os.memfd_create("progress")
        os.ftruncate(progress, 8)
        self._done = memoryview(mmap.mmap(progress, 8)).cast("q")
        self.process = subprocess.Popen(  # noqa: S603 -- this interpreter, our own words
            [sys.executable, "-c", WORKER, str(page), str(progress), str(limit)],
            cwd=ROOT,
            pass_fds=(page, progress),
            stdin=subprocess.PIPE,
        )
        os.close(progress)

    @property
    def done(self) -> int:
        """Rounds that it has finished; it may be in the midst of one more."""
        return int(self._done[0])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def bury(self) -> None:
        """Let the totals know that it has ended."""
        self._scope.close()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.bury()


def counted(totals: Totals) -> float:
    return sum(totals.sums().get(DISCONNECTS.name, {}).get(("queued",), [0.0]))


def in_flight(totals: Totals) -> float:
    return sum(totals.sums().get(IN_FLIGHT.name, {}).get((), [0.0]))


def waits(totals: Totals) -> list[float]:
    return totals.sums().get(QUEUE_WAIT.name, {}).get(("chat",), [0.0])


def test_sums_are_exact_while_workers_write_and_are_killed() -> None:
    totals = Totals()
    with contextlib.ExitStack() as stack:
        workers = [Worker(totals, limit) for limit in (20_000, 30_000, ENOUGH, ENOUGH)]
        for worker in workers:
            stack.callback(worker.end)
        steady, victims = workers[:2], workers[2:]
        seen = 0.0
        while [worker.done for worker in steady] != [20_000, 30_000] or min(worker.done for worker in victims) < 5_000:
            least = sum(worker.done for worker in workers)
            now = counted(totals)
            most = sum(worker.done + 1 for worker in workers)
            assert max(least, seen) <= now <= most
            seen = now
        for victim in victims:
            victim.kill()
        done = sum(worker.done for worker in workers)
        final = counted(totals)
        total, *buckets = waits(totals)
        assert done <= final <= done + len(victims)
        assert done <= sum(buckets) <= done + len(victims)
        assert done * 0.25 <= total <= (done + len(victims)) * 0.25
        assert in_flight(totals) == 4
        for victim in victims:
            victim.bury()
        assert counted(totals) == final
        assert waits(totals) == [total, *buckets]
        assert in_flight(totals) == 2
    assert counted(totals) == final
    assert in_flight(totals) == 0


def test_however_many_workers_follow_each_other_nothing_is_lost_and_nothing_piles_up() -> None:
    totals = Totals()
    descriptors = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- procfs
    for _ in range(300):
        with totals.page() as page:
            metrics = Metrics(page)
            metrics.move(IN_FLIGHT, 1)
            metrics.count(DISCONNECTS, "queued", amount=3)
            metrics.observe(QUEUE_WAIT, 0.25, "chat")
        del metrics
    assert counted(totals) == 900
    assert waits(totals)[0] == 75
    assert in_flight(totals) == 0
    assert totals._living == []
    assert set(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208 -- procfs


@pytest.fixture
def hurry() -> Iterator[None]:
    """Threads that change places as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hurry")
def test_threads_of_a_worker_lose_no_update_to_each_other() -> None:
    totals = Totals()
    together = threading.Barrier(4)

    def work(metrics: Metrics) -> None:
        together.wait()
        for _ in range(20_000):
            metrics.count(DISCONNECTS, "queued")
            metrics.observe(QUEUE_WAIT, 0.25, "chat")

    with totals.page() as page:
        metrics = Metrics(page)
        threads = [threading.Thread(target=work, args=(metrics,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        total, *buckets = waits(totals)
        assert counted(totals) == 80_000
        assert (total, sum(buckets)) == (20_000, 80_000)


@pytest.mark.usefixtures("hurry")
def test_a_scrape_in_the_midst_of_a_departure_counts_it_once() -> None:
    totals = Totals()
    scraped = threading.Condition()
    seen = [0.0]

    def scrape() -> None:
        while seen[-1] < 300:
            seen.append(counted(totals))
            with scraped:
                scraped.notify()

    scraper = threading.Thread(target=scrape)
    scraper.start()
    for number in range(1, 301):
        with totals.page() as page:
            Metrics(page).count(DISCONNECTS, "queued")
            with scraped:
                assert scraped.wait_for(lambda: seen[-1] >= number, 30)  # noqa: B023 -- called here alone
    scraper.join()
    assert seen == sorted(seen)
    assert counted(totals) == 300


def test_a_page_is_departed_also_when_the_start_of_its_worker_failed() -> None:
    totals = Totals()
    with pytest.raises(OSError, match="no such program"), totals.page():
        raise OSError("no such program")
    assert totals._living == []


def test_what_newer_code_counts_is_left_out() -> None:
    totals = Totals()
    with totals.page() as page:
        writer = PageWriter(page)
        writer.add("gateway_unheard_of", (), 1)
        writer.add(QUEUE_WAIT.name, ("chat",), QUEUE_WAIT.width + 1)
        writer.values[writer.add(DISCONNECTS.name, ("queued",), 1) or 0] += 1.0
        assert totals.sums() == {**Totals().sums(), DISCONNECTS.name: {("queued",): [1.0]}}


def test_of_some_gauges_the_least_of_the_living_is_shown_and_none_where_nobody_has_one() -> None:
    totals = Totals()
    name = RETRY_BUDGET.name
    assert name not in totals.sums()
    with totals.page() as one:
        Metrics(one).figure(RETRY_BUDGET).put(0.75)
        with totals.page() as another, totals.page() as third:
            Metrics(another).figure(RETRY_BUDGET).put(0.25)
            Metrics(third)  # a process that retries nothing
            assert totals.sums()[name] == {(): [0.25]}
        assert totals.sums()[name] == {(): [0.75]}
    assert name not in totals.sums()


def test_what_a_process_shows_goes_with_it() -> None:
    totals = Totals()
    with totals.page() as page:
        Metrics(page).show([(ORGANIZATION_QUEUED, ("org:a",), 3.0), (SLOTS_HELD, (), 2.0)])
        assert totals.sums()[ORGANIZATION_QUEUED.name] == {("org:a",): [3.0]}
        assert totals.sums()[SLOTS_HELD.name] == {(): [2.0]}
    assert ORGANIZATION_QUEUED.name not in totals.sums()
    assert totals.sums()[SLOTS_HELD.name] == {(): [0.0]}
