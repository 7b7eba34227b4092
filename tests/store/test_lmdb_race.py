"""Four processes, one truth: nothing is granted twice, nobody overtakes, and no kill leaves a slot behind."""

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.store.racing import (
    BUSY_SECS,
    PROMPTLY,
    STORMING,
    Worker,
    crew,
    most_at_once,
    settings,
    until_figures,
    until_seats,
)

WORKERS = 4


def test_four_processes_racing_for_one_bucket_get_exactly_its_capacity(directory: Path) -> None:
    with crew(directory, WORKERS) as workers:
        for worker in workers:
            worker.do("be_patient")
        races = [(worker, worker.start("take", times=400, capacity=1000)) for worker in workers]
        assert sum(worker.result(race) for worker, race in races) == 1000


def test_a_burst_over_four_processes_that_hold_tokens_is_granted_exactly_what_is_there(directory: Path) -> None:
    with crew(directory, WORKERS) as workers:
        for worker in workers:
            worker.do("be_patient")
        before = sum(worker.do("take_at_once", times=5, capacity=100) for worker in workers)
        assert before == 5 * WORKERS
        races = [(worker, worker.start("take_at_once", times=50, capacity=100)) for worker in workers]
        assert sum(worker.result(race) for worker, race in races) == 100 - before


def test_what_a_killed_worker_held_of_a_bucket_is_lost_and_waited_for_no_longer_than_it_was_lent(
    directory: Path,
) -> None:
    with crew(directory, 2) as (killed, survivor):
        killed.do("look_no_more")
        assert killed.do("take_at_once", times=3, capacity=100) == 3
        lost = killed.do("tokens_held")
        assert lost == 5
        killed.kill()
        assert survivor.do("take_at_once", times=100, capacity=100) == 100 - 3 - lost
        survivor.do("until_nothing_is_held")
        before = survivor.do("calls")
        assert survivor.do("take_at_once", times=10, capacity=100) == 0
        assert survivor.do("calls") == before


def test_four_processes_racing_for_slots_never_run_more_than_the_limit(directory: Path) -> None:
    with crew(directory, WORKERS) as workers:
        races = [(worker, worker.start("churn", times=500, limit=3, hurried=False)) for worker in workers]
        spans = [span for worker, race in races for span in worker.result(race)]
        assert len(spans) == 2000
        assert most_at_once(spans) == 3
        until_figures(workers[0], (0, 0))


def test_random_cancellations_over_processes_leave_no_claim(directory: Path) -> None:
    with crew(directory, WORKERS) as workers:
        races = [(worker, worker.start("churn", times=2500, limit=3, hurried=True)) for worker in workers]
        spans = [span for worker, race in races for span in worker.result(race)]
        assert 0 < len(spans) < 10_000
        assert most_at_once(spans) <= 3
        until_figures(workers[0], (0, 0))


def test_the_queue_is_first_in_first_out_over_processes(directory: Path) -> None:
    with crew(directory, WORKERS) as workers:
        held = workers[0].do("hold", limit=1)
        waiting = []
        for place in range(40):
            worker = workers[place * 7 % WORKERS]
            waiting.append((worker, worker.start("pass_through")))
            until_figures(workers[0], (1, place + 1))
        workers[0].do("free", token=held)
        assert [worker.result(number) for worker, number in waiting] == list(range(40))


def test_turns_are_counted_by_all_processes_together(directory: Path) -> None:
    with crew(directory, WORKERS) as workers:
        asked = [(worker, worker.start("turns", times=500)) for worker in workers]
        turns = [turn for worker, number in asked for turn in worker.result(number)]
        assert sorted(turns) == list(range(2000))


def test_ten_thousand_requests_of_four_processes_are_split_evenly_between_two_replicas(directory: Path) -> None:
    shares = (2499, 2501, 2497, 2503)  # odd: workers that each counted for themselves would not come out even
    with crew(directory, WORKERS) as workers:
        asked = [(worker, worker.start("choices", times=share)) for worker, share in zip(workers, shares, strict=True)]
        split = sum((worker.result(number) for worker, number in asked), Counter[str]())
        assert split == {"chat0": 5000, "chat1": 5000}


def test_a_datagram_wakes_whoever_got_the_slot(directory: Path) -> None:
    with crew(directory, 2) as (holder, waiter):
        held = holder.do("hold", limit=1)
        waiter.do("look_no_more")
        waiting = waiter.start("hold", limit=1, patience=10 * PROMPTLY)
        until_figures(holder, (1, 1))
        holder.do("free", token=held)
        assert isinstance(waiter.result(waiting), int)


def test_a_slot_that_another_worker_keeps_is_had_by_who_waits_for_it(directory: Path) -> None:
    with crew(directory, 2) as (keeper, waiter):
        for worker in (keeper, waiter):
            worker.do("look_no_more")
        keeper.do("free", token=keeper.do("hold", limit=2))
        assert isinstance(waiter.do("hold", limit=2), int)
        assert isinstance(waiter.do("hold", limit=2), int)  # not one of the two can have come but by datagrams
        assert waiter.do("figures") == (2, 0)


def test_a_slot_kept_by_a_worker_that_is_killed_is_had_again(directory: Path) -> None:
    with crew(directory, 2) as (killed, survivor):
        killed.do("look_no_more")
        killed.do("free", token=killed.do("hold", limit=2))
        assert survivor.do("figures") == (1, 0)
        killed.kill()
        until_figures(survivor, (0, 0))


def test_a_slot_that_nobody_asks_for_is_given_back_by_itself(directory: Path) -> None:
    with crew(directory, 2) as (keeper, other):
        keeper.do("free", token=keeper.do("hold", limit=1))
        until_figures(other, (0, 0))
        assert isinstance(other.do("hold", limit=1, patience=0), int)


def test_a_lost_datagram_delays_a_slot_and_does_not_lose_it(directory: Path) -> None:
    with crew(directory, 2) as (holder, waiter):
        held = holder.do("hold", limit=1)
        waiter.do("deafen")
        waiting = waiter.start("hold", limit=1, patience=10 * PROMPTLY)
        until_figures(holder, (1, 1))
        holder.do("free", token=held)
        given = waiter.result(waiting)
        assert isinstance(given, int)
        assert holder.do("figures") == (1, 0)  # it is one and the same slot
        waiter.do("free", token=given)
        until_figures(holder, (0, 0))


def test_a_worker_whose_socket_file_is_gone_is_not_taken_for_dead(directory: Path) -> None:
    with crew(directory, 2) as (holder, other):
        other.do("hold", limit=2)
        other.do("deafen")
        assert holder.do("hold", limit=2, patience=0.5)
        assert holder.do("hold", limit=2, patience=0.5) == "NoSlotError"
        assert holder.do("figures") == (2, 0)


def test_what_a_killed_worker_held_is_handed_on_within_two_seconds(directory: Path) -> None:
    with crew(directory, 3) as (killed, first, second):
        for _ in range(5):
            killed.do("hold", limit=5)
        waiting = []
        for place in range(8):
            worker = (first, second)[place % 2]
            waiting.append((worker, worker.start("hold", limit=5)))
            until_figures(first, (5, place + 1))
        killed.kill()
        since = time.monotonic()
        for worker, number in waiting[:5]:
            assert isinstance(worker.result(number), int)
        assert time.monotonic() - since < 2 + BUSY_SECS
        assert first.do("figures") == (5, 3)


def test_the_places_of_a_killed_worker_are_skipped(directory: Path) -> None:
    with crew(directory, 3) as (holder, killed, waiter):
        held = holder.do("hold", limit=1)
        for place in range(300):  # more than one step of the clearing up
            killed.start("hold", limit=1)
            if place % 100 == 99:
                until_figures(holder, (1, place + 1))
        waiting = waiter.start("hold", limit=1)
        until_figures(holder, (1, 301))
        killed.kill()
        holder.do("free", token=held)
        assert waiter.result(waiting)
        until_figures(holder, (1, 0))


@pytest.mark.parametrize("socket_file", ["left", "cleaned away"])
def test_the_last_worker_killed_leaves_no_slot_taken_for_the_next_one(directory: Path, socket_file: str) -> None:
    with crew(directory, 1) as (killed,):
        killed.do("hold", limit=1)
        if socket_file == "cleaned away":
            killed.do("deafen")
        assert killed.do("take", times=10, capacity=5) == 5
        killed.kill()
    with crew(directory, 1) as (next_one,):
        assert next_one.do("hold", limit=1)
        assert next_one.do("take", times=1, capacity=5) == 0
        until_figures(next_one, (1, 0))


@pytest.mark.timeout(120)
def test_fifty_kills_in_the_midst_of_writing_neither_wedge_nor_corrupt(directory: Path) -> None:
    with crew(directory, 2) as (witness, other):
        granted = 0
        for _ in range(50):
            stormer = Worker(settings(directory))
            stormer.start("storm")
            stormer.result(STORMING)
            granted += witness.do("take", times=20, capacity=500) + other.do("take", times=20, capacity=500)
            stormer.kill()
            stormer.pipe.close()
        assert granted == 500
        until_figures(witness, (0, 0))
        until_seats(witness, 0)
        assert witness.do("hold", limit=1)
        assert other.do("hold", limit=1, patience=0.01) == "NoSlotError"


def test_a_worker_that_leaves_hands_on_what_it_held(directory: Path) -> None:
    with crew(directory, 2) as (leaver, stayer):
        leaver.do("hold", limit=1)
        waiting = stayer.start("hold", limit=1)
        until_figures(stayer, (1, 1))
        assert leaver.do("stop") == "stopped"
        assert stayer.result(waiting)
        assert sorted(path.suffix for path in directory.iterdir()).count(".sock") == 1
