"""Four processes, one truth about seats: never one too many, organizations by turns, and no kill leaves one taken."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.racing import BOTH, BUSY_SECS, PROMPTLY, Worker, crew, most_at_once, until_seats

WORKERS = 4
LIMIT = 2


@pytest.fixture
def pair(directory: Path) -> Iterator[tuple[Worker, Worker]]:
    with crew(directory, 2) as (first, second):
        yield first, second


def test_four_processes_never_take_more_seats_of_a_backend_than_it_has(directory: Path) -> None:
    with crew(directory, WORKERS) as workers:
        races = [(worker, worker.start("visits", times=1000, limit=LIMIT)) for worker in workers]
        spans = [worker.result(race) for worker, race in races]
        for backend in BOTH:
            taken = [span for each in spans for span in each[backend]]
            assert len(taken) > 500
            assert most_at_once(taken) == LIMIT
        until_seats(workers[0], 0)


def test_organizations_take_turns_over_processes(directory: Path) -> None:
    flood, calm = range(12), range(12, 16)
    with crew(directory, WORKERS) as workers:
        held = workers[0].do("sit")
        waiting = []
        for place in (*flood, *calm):
            worker = workers[place * 7 % WORKERS]
            waiting.append((worker, worker.start("sit_and_go", organization="flood" if place in flood else "calm")))
            until_seats(workers[0], place + 1, chat0=1)
        workers[0].do("stand", token=held)
        turns = [worker.result(number) for worker, number in waiting]
        assert turns == [0, 2, 4, 6, *range(8, 16), 1, 3, 5, 7]


def test_a_datagram_wakes_whoever_got_the_seat(pair: tuple[Worker, Worker]) -> None:
    holder, waiter = pair
    held = holder.do("sit")
    waiter.do("look_no_more")
    waiting = waiter.start("sit", patience=10 * PROMPTLY)
    until_seats(holder, 1, chat0=1)
    holder.do("stand", token=held)
    assert isinstance(waiter.result(waiting), int)


def test_a_lost_datagram_delays_a_seat_and_does_not_lose_it(pair: tuple[Worker, Worker]) -> None:
    holder, waiter = pair
    held = holder.do("sit")
    waiter.do("deafen")
    waiting = waiter.start("sit", patience=10 * PROMPTLY)
    until_seats(holder, 1, chat0=1)
    holder.do("stand", token=held)
    given = waiter.result(waiting)
    assert isinstance(given, int)
    assert holder.do("seat_figures") == (0, {"chat0": 1})  # it is one and the same seat
    waiter.do("stand", token=given)
    until_seats(holder, 0)


def test_the_seats_of_a_killed_worker_are_handed_on_within_two_seconds(directory: Path) -> None:
    with crew(directory, 3) as (killed, first, second):
        for _ in range(3):
            killed.do("sit", limit=3)
        killed.do("sit", candidates=("chat1",), limit=3)
        waiting = []
        for place in range(4):
            worker = (first, second)[place % 2]
            waiting.append((worker, worker.start("sit", organization=f"o{place}", limit=3)))
            until_seats(first, place + 1, chat0=3, chat1=1)
        killed.kill()
        since = time.monotonic()
        for worker, number in waiting[:3]:
            assert isinstance(worker.result(number), int)
        assert time.monotonic() - since < 2 + BUSY_SECS
        until_seats(first, 1, chat0=3)


def test_the_places_of_a_killed_worker_are_skipped(directory: Path) -> None:
    with crew(directory, 3) as (holder, killed, waiter):
        held = holder.do("sit")
        killed.do("sit", candidates=("chat1",))
        for place in range(300):  # more than one step of the clearing up
            killed.start("sit", organization=f"o{place % 7}", candidates=BOTH[: 1 + place % 2])
        until_seats(holder, 300, chat0=1, chat1=1)
        waiting = waiter.start("sit")
        until_seats(holder, 301, chat0=1, chat1=1)
        killed.kill()
        holder.do("stand", token=held)
        given = waiter.result(waiting)
        assert isinstance(given, int)
        assert holder.do("seat_figures")[1]["chat0"] == 1  # nobody before it has one
        waiter.do("stand", token=given)
        until_seats(holder, 0)


def test_a_seat_given_to_a_worker_that_dies_before_it_knows_goes_to_the_next(directory: Path) -> None:
    with crew(directory, 3) as (holder, killed, waiter):
        held = holder.do("sit")
        killed.start("sit")
        until_seats(holder, 1, chat0=1)
        waiting = waiter.start("sit")
        until_seats(holder, 2, chat0=1)
        killed.send(signal.SIGSTOP)
        holder.do("stand", token=held)
        assert holder.do("seat_figures") == (1, {"chat0": 1})
        killed.kill()
        waiter.do("stand", token=waiter.result(waiting))
        until_seats(holder, 0)


def test_a_worker_that_stands_still_keeps_its_own_seats_and_no_others(directory: Path) -> None:
    with crew(directory, 2) as (still, other):
        kept = still.do("sit", limit=LIMIT)
        asked = still.start("sit", candidates=("chat1",), limit=LIMIT)
        assert still.result(asked)
        still.send(signal.SIGSTOP)
        taken = [other.do("sit", limit=LIMIT), other.do("sit", candidates=BOTH, limit=LIMIT)]
        assert other.do("sit", candidates=BOTH, limit=LIMIT, patience=0.5) == "NoSlotError"
        for token in taken:
            other.do("stand", token=token)
        assert other.do("seat_figures") == (0, {"chat0": 1, "chat1": 1})
        still.send(signal.SIGCONT)
        still.do("stand", token=kept)
        until_seats(other, 0, chat1=1)


def test_a_worker_that_leaves_hands_on_its_seats(pair: tuple[Worker, Worker]) -> None:
    leaver, stayer = pair
    leaver.do("sit")
    waiting = stayer.start("sit")
    until_seats(stayer, 1, chat0=1)
    assert leaver.do("stop") == "stopped"
    assert stayer.result(waiting)
