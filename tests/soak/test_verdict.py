"""Does the soak's table notice what it is there to notice?"""

from collections import Counter
from dataclasses import replace

import pytest

from tests.soak.books import Books, audit
from tests.soak.killing import Death
from tests.soak.load import Loss, Tally
from tests.soak.looks import Rest, Sample
from tests.soak.verdict import Outcome, died_with_its_worker, slope, table
from tests.soak.whole import tokens_missing

EMPTY = Rest(slots=0, leases=0, seats=0, running=0, connections=0, descriptors=20, supervisor_descriptors=20, tasks=3)
BOOKS = Books(unwritten=[], repeated=[], lines=97, counted=97, last_lines=1, last_counted=2)
DEATHS = [Death(100.0, 7, frozenset({4000}))]
PREFIXES = ["w7-"]


def samples(growth: float) -> list[Sample]:
    """Three minutes of a process that grows by so many MiB a minute, after a warm-up of 50 MiB in a minute."""
    return [Sample(at, {1: 100 + min(at, 60) * 50 / 60 + growth * at / 60}, at * 10) for at in range(181)]


def outcome(**changed: object) -> Outcome:
    tally = Tally(asked=100, left=20, statuses=Counter({200: 79}), losses=[Loss(100.1, 4000, "", "EOF")])
    fine = Outcome(tally, DEATHS, PREFIXES, samples(0.2), {1: "gateway"}, EMPTY, EMPTY, [], 0, 12, BOOKS)
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
    tally = Tally(asked=100, left=20, losses=[loss])
    assert broken(outcome(tally=tally)) == ([] if explained else ["lost otherwise"])


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("slots", "slots and places held"),
        ("leases", "leases in the store"),
        ("seats", "seats in the store"),
        ("running", "sequences in the engines"),
        ("connections", "workers' connections"),
        ("descriptors", "descriptors of the oldest worker"),
        ("supervisor_descriptors", "descriptors of the supervisor"),
        ("tasks", "tasks of a worker"),
    ],
)
def test_what_is_left_is_told(field: str, named: str) -> None:
    assert broken(outcome(after=replace(EMPTY, **{field: 21}))) == [named]


def test_memory_that_grows_after_the_warm_up_is_told() -> None:
    assert broken(outcome(samples=samples(0.9))) == []
    assert broken(outcome(samples=samples(1.1))) == ["memory of the gateway"]


def test_a_refusal_and_a_request_that_ran_twice_are_told() -> None:
    assert broken(outcome(tally=Tally(asked=100, left=20, statuses=Counter({503: 1})))) == ["refused"]
    assert broken(outcome(twice=["w8-1"])) == ["run twice"]


def test_a_slope_is_growth_a_minute() -> None:
    assert slope([(0, 1), (30, 2), (60, 3)]) == pytest.approx(2)
    assert slope([(0, 5), (60, 5)]) == 0


def test_a_run_too_short_for_a_slope_says_so_and_promises_nothing() -> None:
    found = table(outcome(samples=samples(50)[:-1]))
    assert [(line.figure, line.holds) for line in found if line.what == "memory of the gateway"] == [
        ("299.2 MiB, not measured", None)
    ]


def test_a_run_that_tried_nothing_does_not_hold() -> None:
    assert broken(outcome(deaths=[], tally=Tally(asked=100, left=14))) == ["left by their clients", "kills"]
    assert broken(outcome(seats=0)) == ["seats taken at half-time"]


def test_an_engine_that_runs_on_for_nobody_is_told() -> None:
    assert broken(outcome(abandoned=1)) == ["run on for nobody"]


def stream(*events: str) -> bytes:
    chunk = '{"choices":[{"delta":{"content":"%s"}}]}'
    usage = '{"choices":[],"usage":{"completion_tokens":3}}'
    told = ["data: " + chunk % "", *events, "data: " + usage, "data: [DONE]", ""]
    return "\n\n".join(told).replace("TOKEN", chunk % "a").encode()


@pytest.mark.parametrize(
    ("body", "asked", "missing"),
    [
        (stream("data: TOKEN", "data: TOKEN", "data: TOKEN"), 3, 0),
        (stream("data: TOKEN", ": TOKEN", "data: TOKEN"), 3, 1),
        (stream("data: TOKEN", "data: TOKEN", "data: TOKEN"), 4, 1),
        (stream("data: TOKEN", 'data: {"choices":[{"text":" two,"}]}'), 3, 0),
        (b'{"choices":[{"message":{"content":"is one two"}}],"usage":{"completion_tokens":3}}', 3, 0),
        (b'{"choices":[{"text":"is one"}],"usage":{"completion_tokens":3}}', 3, 1),
    ],
    ids=["all", "an event became a comment", "fewer than asked for", "two in a chunk", "all at once", "fewer at once"],
)
def test_the_tokens_of_an_answer_are_counted(body: bytes, asked: int, missing: int) -> None:
    assert tokens_missing(body, asked) == missing


def test_an_answer_short_of_tokens_is_told_whoever_was_killed() -> None:
    assert broken(outcome(tally=Tally(asked=100, left=20, short=["w7-1"]))) == ["short of tokens"]


def test_access_lines_are_held_to_the_ids_that_clients_saw() -> None:
    lines = [{"request_id": one, "path": "/a"} for one in ("w8-1", "w8-3", "w8-3")]
    metrics = {'gateway_requests_total{path="/a",status="200"}': 4.0, 'gateway_requests_total{path="/health"}': 9.0}
    lines.append({"request_id": "w8-9", "path": "/health"})
    lines.append({"request_id": "w7-0", "path": "/a"})
    metrics['gateway_requests_total{path="/a",status="499"}'] = 2.0
    found = audit(["w8-1", "w8-2", "w7-1"], PREFIXES, lines, metrics, {"/a"}, {"/a": 3, "/health": 5})
    assert found == Books(["w8-2"], ["w8-3"], lines=3, counted=3, last_lines=1, last_counted=3)


@pytest.mark.parametrize(
    ("books", "named"),
    [
        (replace(BOOKS, unwritten=["w8-1"]), "answered without an access line"),
        (replace(BOOKS, repeated=["w8-1"]), "with several access lines"),
        (replace(BOOKS, counted=96), "access lines and the counter"),
        (replace(BOOKS, counted=98), "access lines and the counter"),
        (replace(BOOKS, last_counted=4), "access lines and the counter"),
        (replace(BOOKS, last_lines=3), "the same of killed workers"),
    ],
    ids=["no line", "two lines", "fewer counted", "more counted", "more counted than asked", "more lines of the dead"],
)
def test_books_that_do_not_agree_are_told(books: Books, named: str) -> None:
    assert broken(outcome(books=books)) == [named]
