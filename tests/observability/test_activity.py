"""Whoever was served is noticed, however short it was and whoever has died since; what only knocked is not."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.observability.activity import Activity, Look
from gateway.observability.families.backends import BACKEND_ENGINE, BACKEND_STATE
from gateway.observability.families.cached import CACHE_REQUESTS
from gateway.observability.families.limits import REFUSALS
from gateway.observability.families.processes import LOOP_LAG, PROCESS_CPU
from gateway.observability.families.requests import DURATION, IN_FLIGHT, QUEUE_WAIT, QUEUED, REQUESTS
from gateway.observability.metrics import Metrics
from gateway.observability.page import VALUES
from gateway.observability.totals import Totals

QUIET = Look(ran=False, running=0)


@pytest.fixture
def totals() -> Totals:
    return Totals()


@pytest.fixture
def workers(totals: Totals) -> Iterator[list[Metrics]]:
    """Two workers' figures."""
    with ExitStack() as stack:
        yield [Metrics(stack.enter_context(totals.page())) for _ in range(2)]


@pytest.fixture
def activity(totals: Totals) -> Activity:
    return Activity(totals)


def test_a_request_that_has_run_is_seen_once(activity: Activity, workers: list[Metrics]) -> None:
    assert activity.look() == QUIET
    workers[1].observe(QUEUE_WAIT, 0.0, "chat")
    assert activity.look() == Look(ran=True, running=0)
    assert activity.look() == QUIET


def test_what_runs_or_waits_is_active_at_every_look(activity: Activity, workers: list[Metrics]) -> None:
    workers[0].move(IN_FLIGHT, 1)
    workers[1].move(QUEUED, 2)
    for _ in range(2):
        assert activity.look() == Look(ran=False, running=3)
    workers[0].move(IN_FLIGHT, -1)
    workers[1].move(QUEUED, -2)
    assert not activity.look().active


@pytest.mark.parametrize("condition", ["running", "waiting"])
def test_what_is_in_an_engine_counts_whoever_sent_it(
    activity: Activity, workers: list[Metrics], condition: str
) -> None:
    workers[0].figure(BACKEND_ENGINE, "chat0", condition).put(1.0)
    assert activity.look().running == 1
    workers[1].move(IN_FLIGHT, 1)  # one request, at both places
    assert activity.look().running == 1


def test_an_answer_from_the_cache_is_use(activity: Activity, workers: list[Metrics]) -> None:
    workers[0].count(CACHE_REQUESTS, "/v1/embeddings", "hit")
    assert activity.look().active


def test_what_the_door_refuses_and_what_has_no_model_is_not(activity: Activity, workers: list[Metrics]) -> None:
    for path, status in (("/health", "200"), ("/v1/models", "200"), ("/v1/chat/completions", "401"), ("other", "404")):
        workers[0].count(REQUESTS, path, "", status, "ok")
        workers[0].observe(DURATION, 0.1, path, "")
    workers[0].count(REFUSALS, "rate_limit_exceeded")
    workers[0].observe(LOOP_LAG, 0.001)
    workers[0].count(PROCESS_CPU, "worker", amount=1.0)
    workers[0].figure(BACKEND_STATE, "chat0", "healthy").put(1.0)
    assert activity.look() == QUIET


def test_a_request_of_a_worker_that_died_before_the_look_is_seen_all_the_same(
    totals: Totals, activity: Activity
) -> None:
    with totals.page() as page:
        Metrics(page).observe(QUEUE_WAIT, 0.0, "chat")
    assert activity.look() == Look(ran=True, running=0)
    assert activity.look() == QUIET


def test_what_a_dead_worker_had_running_runs_no_more(totals: Totals, activity: Activity) -> None:
    with totals.page() as page:
        Metrics(page).move(IN_FLIGHT, 1)
        assert activity.look().active
    assert not activity.look().active


def test_a_count_that_found_no_room_is_taken_for_a_request(activity: Activity, workers: list[Metrics]) -> None:
    number = 0
    while workers[0].figure(REQUESTS, f"path {number}", "", "200", "ok").__class__.__name__ != "Lost":
        number += 1
        assert number < VALUES
    activity.look()
    workers[0].observe(QUEUE_WAIT, 0.0, "the last model")
    assert activity.look().active
