"""Four processes, one quota: exactly as many run as it has room for, and no kill leaks or books anything twice."""

from pathlib import Path

import pytest

from gateway.store.lmdb_accounts import BATCH
from tests.store.racing import STORMING
from tests.store.spending import COST, WILL, spenders

WORKERS = 4
KILLED = 2


def test_of_a_hundred_requests_for_the_last_seven_of_a_quota_seven_run(directory: Path) -> None:
    with spenders(directory, WORKERS) as workers:
        assert workers[0].do("ask", times=93, limit=100) == 93
        races = [(worker, worker.start("ask", times=25, limit=100)) for worker in workers]
        assert sum(worker.result(race) for worker, race in races) == 7
        for worker in workers:
            worker.do("figures")  # which writes down what has ended
        assert workers[0].do("figures") == (100, 100 * COST, 100, 100)


def test_where_workers_hold_tranches_as_many_run_as_a_quota_has_room_for(directory: Path) -> None:
    with spenders(directory, WORKERS) as workers:
        assert [worker.do("ask", times=20, limit=2000) for worker in workers] == [20] * WORKERS
        races = [(worker, worker.start("ask", times=600, limit=2000)) for worker in workers]
        assert sum(worker.result(race) for worker, race in races) == 2000 - 20 * WORKERS
        for worker in workers:
            worker.do("figures")  # which writes down what has ended
        assert workers[0].do("figures") == (2000, 2000 * COST, 2000, 2000)


@pytest.mark.parametrize("chance", range(3))
def test_what_killed_processes_ran_is_booked_once_and_nothing_leaks(directory: Path, chance: int) -> None:
    del chance
    with spenders(directory, WORKERS) as workers:
        for worker in workers[:KILLED]:
            worker.start("storm")
            worker.result(STORMING)
        ran = workers[-1].do("ask", times=200, limit=0)
        for worker in workers[:KILLED]:
            worker.kill()
        survivor = workers[-1]
        while True:  # until the dead are buried: pytest's time-out ends it
            requests, tokens, records, different = survivor.do("figures")
            if not survivor.do("reservations"):
                break
        requests, tokens, records, different = survivor.do("figures")
        assert requests == records == different > ran
        died = survivor.do("died")
        assert tokens == (requests - died) * COST + died * WILL


def test_what_a_process_wrote_just_before_its_kill_is_booked_once_and_as_it_was(directory: Path) -> None:
    with spenders(directory, 2) as (dies, lives):
        dies.start("die_behind_a_sheet", times=10 * BATCH)
        while (figures := lives.do("figures"))[0] < 11 * BATCH or lives.do("reservations"):
            pass  # until the dead one is buried: pytest's time-out ends it
        requests, tokens, records, different = figures
        died = lives.do("died")
        assert requests == records == different == 11 * BATCH
        assert tokens == (requests - died) * COST + died * WILL
        assert died < BATCH
