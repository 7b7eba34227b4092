"""Does the soak's table notice what it is there to notice?"""

from collections import Counter
from dataclasses import replace

import pytest

from tests.soak.killing import Death
from tests.soak.load import Loss, Tally
from tests.soak.looks import Rest, Sample
from tests.soak.verdict import Outcome, died_with_its_worker, slope, table

EMPTY = Rest(slots=0, leases=0, running=0, connections=0, descriptors=20, tasks=3)
DEATHS = [Death(100.0, 7, frozenset({4000}))]
PREFIXES = ["w7-"]


def samples(growth: float) -> list[Sample]:
    """Three minutes of a process that grows by so many MiB a minute, after a warm-up of 50 MiB in a minute."""
    return [Sample(at, {1: 100 + min(at, 60) * 50 / 60 + growth * at / 60}, at * 10) for at in range(181)]


def outcome(**changed: object) -> Outcome:
    tally = Tally(asked=100, left=20, statuses=Counter({200: 79}), losses=[Loss(100.1, 4000, "", "EOF")])
    fine = Outcome(tally, DEATHS, PREFIXES, samples(0.2), {1: "gateway"}, EMPTY, EMPTY, [])
    return replace(fine, **changed)  # type: ignore[arg-type]  # a test names the fields


def broken(found: Outcome) -> list[str]:
    return [line.what.strip() for line in table(found) if line.holds is False]


def test_a_good_run_holds_all_that_was_promised() -> None:
    assert broken(outcome()) == []


@pytest.mark.parametrize(
    ("loss", "explained"),
    [
        (Loss(100.1, 4000, "", "EOF"), True),
        (Loss(100.1, 4001, "", "EOF"), False),
        (Loss(160.0, 4000, "", "EOF"), False),
        (Loss(100.1, 4001, "w7-1", "EOF"), True),
        (Loss(100.1, 4000, "w8-1", "EOF"), False),
    ],
    ids=["its connection", "another connection", "its port, much later", "its id", "another's id"],
)
def test_a_loss_is_explained_by_the_workers_id_or_where_none_came_by_its_connection(
    loss: Loss, *, explained: bool
) -> None:
    assert died_with_its_worker(loss, DEATHS, PREFIXES) is explained
    tally = Tally(asked=1, losses=[loss])
    assert broken(outcome(tally=tally)) == ([] if explained else ["lost otherwise"])


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("slots", "slots and places held"),
        ("leases", "leases in the store"),
        ("running", "sequences in the engines"),
        ("connections", "workers' connections"),
        ("descriptors", "descriptors of the oldest worker"),
        ("tasks", "tasks of a worker"),
    ],
)
def test_what_is_left_is_told(field: str, named: str) -> None:
    assert broken(outcome(after=replace(EMPTY, **{field: 21}))) == [named]


def test_memory_that_grows_after_the_warm_up_is_told() -> None:
    assert broken(outcome(samples=samples(0.9))) == []
    assert broken(outcome(samples=samples(1.1))) == ["memory of the gateway"]


def test_a_refusal_and_a_request_that_ran_twice_are_told() -> None:
    assert broken(outcome(tally=Tally(asked=1, statuses=Counter({503: 1})))) == ["refused"]
    assert broken(outcome(twice=["w8-1"])) == ["run twice"]


def test_a_slope_is_growth_a_minute() -> None:
    assert slope([(0, 1), (30, 2), (60, 3)]) == pytest.approx(2)
    assert slope([(0, 5), (60, 5)]) == 0
