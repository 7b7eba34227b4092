"""Worker processes of two hosts have one limit, whatever dies, stops or is lost; a directory makes a host."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.store.choices import StoreKind
from gateway.store.settings import StoreSettings
from tests.store.racing import PROMPTLY, Worker, hired, most_at_once, until_figures
from tests.store.valkey.server import Server, free_port, running


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@contextmanager
def hosts(server: Server, directory: Path, *sizes: int, timeout_ms: float = 1000) -> Iterator[list[list[Worker]]]:
    """So many workers on each of several hosts; a busy machine's pauses are no outage unless a test says so."""
    chosen = [
        StoreSettings(
            limiter_store=StoreKind.LMDB,
            limiter_path=directory / str(host),
            max_tracked_organizations=1000,
            redis_url=SecretStr(server.url),
            redis_timeout_ms=timeout_ms,
        )
        for host, size in enumerate(sizes)
        for _ in range(size)
    ]
    with hired(chosen) as workers:
        left = iter(workers)
        yield [[next(left) for _ in range(size)] for size in sizes]


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PROMPTLY
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def hold(worker: Worker, times: int, limit: int) -> list[int]:
    return [worker.do("hold", limit=limit) for _ in range(times)]


def is_refused(worker: Worker, limit: int) -> bool:
    return bool(worker.do("hold", limit=limit, patience=0.0) == "NoSlotError")


def test_two_hosts_share_one_limit_exactly(server: Server, directory: Path) -> None:
    with hosts(server, directory, 3, 3) as (first, second):
        races = [(worker, worker.start("stay", times=50, limit=40, secs=0.05)) for worker in (*first, *second)]
        spans = [span for worker, race in races for span in worker.result(race)]
        assert len(spans) == 300
        assert most_at_once(spans) == 40
        until_figures(first[0], (0, 0))


def test_slots_go_to_whoever_came_first_on_whichever_host(server: Server, directory: Path) -> None:
    with hosts(server, directory, 2, 2) as (first, second):
        workers = [*first, *second]
        (held,) = hold(workers[0], 1, 1)
        waiting = []
        for place in range(12):
            worker = workers[place * 7 % 4]
            waiting.append((worker, worker.start("pass_through")))
            until_figures(workers[0], (1, place + 1))
        workers[0].do("free", token=held)
        assert [worker.result(number) for worker, number in waiting] == list(range(12))


def test_a_message_wakes_whoever_got_the_slot(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1) as ((holder,), (waiter,)):
        (held,) = hold(holder, 1, 1)
        waiter.do("beat_no_more")
        waiting = waiter.start("hold", limit=1, patience=10 * PROMPTLY)
        until_figures(holder, (1, 1))
        holder.do("free", token=held)
        assert isinstance(waiter.result(waiting), int)


def test_a_lost_message_delays_a_slot_and_does_not_lose_it(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1) as ((holder,), (waiter,)):
        (held,) = hold(holder, 1, 1)
        waiter.do("hear_no_more")
        waiting = waiter.start("hold", limit=1, patience=10 * PROMPTLY)
        until_figures(holder, (1, 1))
        holder.do("free", token=held)
        given = waiter.result(waiting)
        assert isinstance(given, int)
        waiter.do("free", token=given)
        until_figures(holder, (0, 0))


def test_the_slots_of_a_killed_worker_are_free_within_two_seconds(server: Server, directory: Path) -> None:
    with hosts(server, directory, 2, 1) as ((killed, _), (other,)):
        hold(killed, 3, 3)
        waiting = [other.start("hold", limit=3) for _ in range(3)]
        until_figures(other, (3, 3))
        since = time.monotonic()
        killed.kill()
        for number in waiting:
            assert isinstance(other.result(number), int)
        assert time.monotonic() - since < 2.0


def test_the_slots_of_a_dead_host_are_free_when_it_has_missed_its_beats(server: Server, directory: Path) -> None:
    with hosts(server, directory, 2, 1) as (dead, (other,)):
        for worker in dead:
            hold(worker, 2, 4)
        waiting = [other.start("hold", limit=4) for _ in range(4)]
        until_figures(other, (4, 4))
        for worker in dead:
            worker.kill()
        for number in waiting:
            assert isinstance(other.result(number), int)
        assert other.do("figures") == (4, 0)


def test_a_worker_that_was_only_stopped_is_buried_once_and_frees_nothing_twice(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1) as ((stopped,), (other,)):
        (token,) = hold(stopped, 1, 1)
        waiting = other.start("hold", limit=1)
        until_figures(other, (1, 1))
        stopped.send(signal.SIGSTOP)
        assert isinstance(other.result(waiting), int)
        stopped.send(signal.SIGCONT)
        until_figures(other, (2, 0))  # both run, and both are counted
        stopped.do("free", token=token)
        until_figures(stopped, (1, 0))
        assert is_refused(other, 1)
        assert is_refused(stopped, 1)


def test_what_runs_is_entered_again_after_a_flush(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1) as ((first,), (second,)):
        until(lambda: all(worker.do("known_hosts") == 2 for worker in (first, second)))  # which a beat tells
        tokens = hold(first, 2, 4)
        hold(second, 2, 4)
        waiting = first.start("hold", limit=4)
        until_figures(second, (4, 1))
        server.ask("FLUSHALL")
        until_figures(second, (4, 1))
        assert is_refused(second, 4)
        first.do("free", token=tokens[0])
        assert isinstance(first.result(waiting), int)
        assert first.do("figures") == (4, 0)


def test_scripts_that_the_server_forgets_are_told_again(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1) as ((worker,),):
        (token,) = hold(worker, 1, 1)
        server.ask("SCRIPT", "FLUSH")
        worker.do("free", token=token)
        hold(worker, 1, 1)
        assert worker.do("figures") == (1, 0)
        assert not worker.do("degraded")


def test_what_runs_is_entered_again_when_the_server_is_started_anew(server: Server, directory: Path) -> None:
    with hosts(server, directory, 1, 1) as ((first,), (second,)):
        hold(first, 2, 4)
        hold(second, 2, 4)
        server.stop()
        until(lambda: first.do("degraded") and second.do("degraded"))
        server.start()
        until(lambda: not first.do("degraded") and not second.do("degraded"))
        assert first.do("figures") == (4, 0)
        assert is_refused(first, 4)
        assert is_refused(second, 4)


def test_what_a_replica_did_not_hear_of_is_entered_when_it_takes_over(directory: Path) -> None:
    port = str(free_port())
    with (
        running("--port", port, "--bind", "127.0.0.1") as primary,
        running() as replica,
        hosts(primary, directory, 1, 1) as ((first,), (second,)),
    ):
        hold(first, 1, 4)
        replica.ask("REPLICAOF", "127.0.0.1", port)
        until(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"))
        replica.ask("REPLICAOF", "127.0.0.1", "1")  # it hears nothing from now on, and is no primary yet
        hold(first, 1, 4)
        hold(second, 2, 4)
        primary.stop()
        replica.stand_in(primary.socket)
        until(lambda: first.do("degraded") and second.do("degraded"))
        assert first.do("degraded"), "a replica that writes nothing decides nothing"
        replica.ask("REPLICAOF", "NO", "ONE")
        until(lambda: not first.do("degraded") and not second.do("degraded"))
        assert first.do("figures") == (4, 0)
        assert is_refused(first, 4)
        assert is_refused(second, 4)


def test_while_the_server_is_away_each_host_keeps_to_its_share(server: Server, directory: Path) -> None:
    with hosts(server, directory, 2, 1) as ((first, sibling), (second,)):
        tokens = hold(first, 1, 4)
        until(lambda: all(worker.do("known_hosts") == 2 for worker in (first, sibling, second)))
        server.stop()
        until(lambda: all(worker.do("degraded") for worker in (first, sibling, second)))
        hold(sibling, 1, 4)
        assert is_refused(first, 4)
        assert is_refused(sibling, 4)
        kept = hold(second, 2, 4)
        assert is_refused(second, 4)
        first.do("free", token=tokens[0])
        hold(sibling, 1, 4)
        waiting = second.start("hold", limit=4)
        server.start()
        until(lambda: not any(worker.do("degraded") for worker in (first, sibling, second)))
        until_figures(first, (4, 1))  # who waited at its host waits at the server now
        second.do("free", token=kept[0])
        assert isinstance(second.result(waiting), int)
        until_figures(first, (4, 0))


def test_no_call_takes_longer_than_a_tenth_of_a_second_while_the_server_stands_still(
    server: Server, directory: Path
) -> None:
    with hosts(server, directory, 1, 1, timeout_ms=50) as ((first,), (second,)):
        longest = []
        for _ in range(3):
            until(lambda: not first.do("degraded") and not second.do("degraded"))
            asking = [(worker, worker.start("longest_call", secs=2.2)) for worker in (first, second)]
            server.send(signal.SIGSTOP)
            time.sleep(2.0)  # the case's own words: slow by 2 s
            server.send(signal.SIGCONT)
            longest.append(max(worker.result(number) for worker, number in asking))
            if longest[-1] < 0.1:
                break
        assert min(longest) < 0.1
        until(lambda: not first.do("degraded") and not second.do("degraded"))
        until_figures(first, (0, 0))  # what was asked of the server that stood still holds nothing


def test_without_a_server_a_worker_starts_with_its_share(server: Server, directory: Path) -> None:
    server.stop()
    with hosts(server, directory, 1) as ((worker,),):
        assert worker.do("degraded")
        hold(worker, 1, 1)
        server.start()
        until(lambda: not worker.do("degraded"))
        assert worker.do("figures") == (1, 0)
