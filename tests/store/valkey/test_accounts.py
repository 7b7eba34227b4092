"""Worker processes of two hosts count in one quota, whatever dies, stops or is lost; a directory makes a host."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.store.choices import StoreKind
from gateway.store.settings import StoreSettings
from tests.store.racing import Worker
from tests.store.spending import COST, ESTIMATE, WILL, all_spenders
from tests.store.valkey.server import Server, running
from tests.store.valkey.test_hosts import until


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@contextmanager
def hosts(
    server: Server, directory: Path, *sizes: int, timeout_ms: float = 1000, kind: StoreKind = StoreKind.LMDB
) -> Iterator[list[list[Worker]]]:
    """So many workers on each of several hosts, all of which know of each other."""
    chosen = [
        StoreSettings(
            limiter_store=kind,
            limiter_path=directory / str(host),
            max_tracked_organizations=1000,
            journal_bytes=2**20,
            redis_url=SecretStr(server.url),
            redis_timeout_ms=timeout_ms,
        )
        for host, size in enumerate(sizes)
        for _ in range(size)
    ]
    with all_spenders(chosen) as workers:
        until(lambda: all(worker.do("state")[1] == len(sizes) for worker in workers))
        left = iter(workers)
        yield [[next(left) for _ in range(size)] for size in sizes]


def until_shared(workers: Sequence[Worker]) -> None:
    until(lambda: not any(worker.do("state")[0] for worker in workers))


def until_away(workers: Sequence[Worker]) -> None:
    until(lambda: all(worker.do("state")[0] for worker in workers))


def until_used(worker: Worker, requests: int, tokens: int) -> None:
    until(lambda: bool(worker.do("used") == (requests, tokens)))


def test_of_a_hundred_requests_for_the_last_seven_of_a_quota_seven_run_on_two_hosts(
    server: Server, directory: Path
) -> None:
    with hosts(server, directory, 2, 2) as (first, second):
        assert first[0].do("ask", times=93, limit=100) == 93
        races = [(worker, worker.start("ask", times=25, limit=100)) for worker in (*first, *second)]
        assert sum(worker.result(race) for worker, race in races) == 7
        until_used(second[0], 100, 100 * COST)
        records = 0
        for host in (first, second):
            for worker in host:
                worker.do("figures")  # which writes down what has ended
            requests, _, there, different = host[0].do("figures")
            assert requests == 100
            assert there == different
            records += there
        assert records == 100  # each in its own host's journal


def test_what_a_killed_worker_had_is_booked_as_its_will_says(server: Server, directory: Path) -> None:
    with hosts(server, directory, 2, 1) as ((killed, sibling), (other,)):
        for _ in range(3):
            killed.do("hold")
        until_used(other, 3, 3 * ESTIMATE)
        killed.kill()
        until_used(other, 3, 3 * WILL)
        until(lambda: bool(sibling.do("died") == 3))
        assert other.do("died") == 0


def test_what_a_dead_host_had_is_refunded(server: Server, directory: Path) -> None:
    with hosts(server, directory, 2, 1) as (dead, (other,)):
        for worker in dead:
            worker.do("end", token=worker.do("hold"))
            worker.do("used")  # which writes down what has ended
            worker.do("hold")
        other.do("hold")
        for worker in dead:
            worker.kill()
        until_used(other, 3, 2 * COST + ESTIMATE)
        assert other.do("used") == (3, 2 * COST + ESTIMATE), "and no more than that"


def test_a_flushed_server_has_a_new_epoch_in_which_what_runs_counts_and_the_ledger_once(
    server: Server, directory: Path
) -> None:
    with hosts(server, directory, 1, 1) as ((first,), (second,)):
        workers = first, second
        before = first.do("state")[2]
        assert second.do("state")[2] == before
        first.do("end", token=first.do("hold"))
        running = second.do("hold")
        until_used(first, 2, COST + ESTIMATE)
        server.ask("FLUSHALL")
        until(lambda: all(worker.do("state")[2] != before for worker in workers))
        until_shared(workers)
        assert first.do("state")[2] == second.do("state")[2]
        until_used(first, 1, ESTIMATE)
        for worker in workers:
            assert worker.do("restore", requests=1, tokens=COST)
        second.do("end", token=running)
        until_used(first, 2, 2 * COST)


def test_a_flushed_server_gives_nobody_a_used_up_quota_again(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1) as ((first,), (second,)):
        workers = first, second
        before = first.do("state")[2]
        assert first.do("ask", times=7, limit=7) == 7
        assert second.do("ask", times=1, limit=7) == 0
        server.ask("FLUSHALL")
        assert [worker.do("ask", times=5, limit=7) for worker in workers] == [0, 0]
        until(lambda: all(worker.do("state")[2] != before for worker in workers))
        until_shared(workers)
        assert [worker.do("ask", times=5, limit=7) for worker in workers] == [0, 0], "the ledger was not counted yet"
        assert first.do("restore", requests=9, tokens=9 * COST)
        for worker in workers:
            until_used(worker, 9, 9 * COST)  # by the server's count
        assert [worker.do("ask", times=5, limit=7) for worker in workers] == [0, 0]


def test_what_is_used_while_the_server_stands_still_is_added_once(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1, timeout_ms=200) as ((first,), (second,)):
        workers = first, second
        before = first.do("state")[2]
        kept = [worker.do("hold") for worker in workers]
        server.send(signal.SIGSTOP)
        for worker in workers:
            worker.do("hold")
        until_away(workers)
        for worker, token in zip(workers, kept, strict=True):
            worker.do("end", token=token)
            worker.do("end", token=worker.do("hold"))
            assert not worker.do("restore", requests=9, tokens=9)
        server.send(signal.SIGCONT)
        until_shared(workers)
        until_used(first, 6, 4 * COST + 2 * ESTIMATE)
        assert first.do("state")[2] == before


def test_what_ended_before_the_server_came_back_empty_is_left_to_the_ledger(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1) as ((first,), (second,)):
        workers = first, second
        before = first.do("state")[2]
        first.do("hold")
        server.stop()
        until_away(workers)
        first.do("end", token=first.do("hold"))
        assert first.do("state")[2] == before  # under which it is booked
        server.start()
        until_shared(workers)
        until_used(second, 1, ESTIMATE)
        assert all(worker.do("restore", requests=1, tokens=COST) for worker in workers)
        until_used(second, 2, ESTIMATE + COST)


def test_quotas_hold_by_what_was_seen_last_while_the_server_is_away(server: Server, directory: Path) -> None:
    with hosts(server, directory, 2, 1) as ((first, sibling), (second,)):
        workers = first, sibling, second
        assert second.do("ask", times=4, limit=7) == 4
        assert first.do("ask", times=1, limit=7) == 1
        server.stop()
        until_away(workers)
        assert sibling.do("ask", times=5, limit=7) == 2
        assert first.do("ask", times=5, limit=7) == 0


@pytest.mark.parametrize("kind", StoreKind)
@pytest.mark.parametrize("told", ["ask", "used"])
def test_a_host_that_was_told_of_a_used_up_quota_grants_none_of_it_without_the_server(
    server: Server, directory: Path, kind: StoreKind, told: str
) -> None:
    with hosts(server, directory, 1, 1, kind=kind) as ((first,), (second,)):
        assert first.do("ask", times=1, limit=7) == 1
        assert second.do("ask", times=6, limit=7) == 6
        until_used(second, 7, 7 * COST)
        if told == "ask":
            assert first.do("ask", times=1, limit=7) == 0
        else:
            until_used(first, 7, 7 * COST)
        server.stop()
        until_away([first])
        assert first.do("figures")[:2] == (7, 7 * COST)
        assert first.do("ask", times=5, limit=7) == 0


def test_a_minute_is_one_for_all_hosts_and_divided_among_them_while_the_server_is_away(
    server: Server, directory: Path
) -> None:
    with hosts(server, directory, 1, 1) as ((first,), (second,)):
        races = [(worker, worker.start("ask", times=3, limit=0, minute=5)) for worker in (first, second)]
        assert sum(worker.result(race) for worker, race in races) == 5
    with hosts(server, directory / "new", 1, 1) as ((first,), (second,)):
        server.stop()
        until_away([first, second])
        assert [worker.do("ask", times=7, limit=0, minute=6) for worker in (first, second)] == [3, 3]


@pytest.mark.parametrize("known", [True, False])
def test_a_worker_that_was_cut_off_says_what_it_has_used_and_what_runs(
    server: Server, directory: Path, *, known: bool
) -> None:
    with hosts(server, directory, 1, 1) as ((stopped,), (other,)):
        token = stopped.do("hold")
        stopped.do("hold")
        until_used(other, 2, 2 * ESTIMATE)
        stopped.send(signal.SIGSTOP)
        if not known:
            until_used(other, 0, 0)  # buried by another host, and refunded
        stopped.send(signal.SIGCONT)
        stopped.do("end", token=token)
        until_used(other, 2, COST + ESTIMATE)
        assert stopped.do("used") == (2, COST + ESTIMATE)


def test_nobody_waits_a_tenth_of_a_second_while_the_server_stands_still(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1, timeout_ms=50) as ((first,), (second,)):
        longest = []
        for _ in range(3):
            until_shared((first, second))
            asking = [(worker, worker.start("longest", secs=2.2)) for worker in (first, second)]
            server.send(signal.SIGSTOP)
            time.sleep(2.0)  # the case's own words: slow by 2 s
            server.send(signal.SIGCONT)
            longest.append(max(worker.result(number) for worker, number in asking))
            if longest[-1] < 0.1:
                break
        assert min(longest) < 0.1
