"""Every update lands in its series, and what finds no room is counted as lost."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from gateway.observability import page
from gateway.observability.families.backends import BACKEND_SIGNALS, CIRCUIT_CHANGES, FALLBACKS, RETRIES
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import NAMED, Across, Family, Kind
from gateway.observability.families.limits import ORGANIZATION_QUEUED, RETRY_BUDGET
from gateway.observability.families.requests import (
    DISCONNECTS,
    DURATION,
    FIRST_TOKEN,
    IN_FLIGHT,
    QUEUE_WAIT,
    REQUESTS,
    SEATS_WAITING,
    TOKENS,
    WAITS,
)
from gateway.observability.families.streams import INTER_TOKEN, OUTPUT_RATE, STREAM_ENDINGS
from gateway.observability.metrics import Metrics
from gateway.observability.page import PageReader, create_page

COUNTED: list[tuple[Family, tuple[str, ...]]] = [
    (REQUESTS, ("/v1/chat/completions", "", "200", "ok")),
    (DURATION, ("/v1/chat/completions", "")),
    (TOKENS, ("", "prompt")),
    (QUEUE_WAIT, ("",)),
    (FIRST_TOKEN, ("",)),
    (INTER_TOKEN, ("",)),
    (OUTPUT_RATE, ("",)),
    (STREAM_ENDINGS, ("", "done")),
    (SEATS_WAITING, ("",)),
    (RETRIES, ("", "refused")),
    (FALLBACKS, ("", "")),
    (BACKEND_SIGNALS, ("", "failure")),
    (CIRCUIT_CHANGES, ("", "open")),
]
"""What a worker counts of models and their backends."""
ALWAYS_THERE = [family for family in CATALOGUE if not family.labels and family.across is Across.SUM]


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = create_page()
    yield made
    os.close(made)


def figures(descriptor: int) -> dict[tuple[str, ...], list[float]]:
    return {(series.family, *series.labels): series.values for series in PageReader(descriptor).read()}


def shown(reader: PageReader) -> dict[str, float]:
    """Who waits, as a supervisor sees it that has read the page before."""
    return {one.labels[0]: one.values[0] for one in reader.read() if one.family == ORGANIZATION_QUEUED.name}


def test_series_without_labels_are_there_at_zero(descriptor: int) -> None:
    Metrics(descriptor)
    assert figures(descriptor) == {(family.name,): [0.0] * family.width for family in ALWAYS_THERE}


def test_of_the_least_figure_there_is_none_until_somebody_has_one(descriptor: int) -> None:
    metrics = Metrics(descriptor)
    assert (RETRY_BUDGET.name,) not in figures(descriptor)
    for share in (0.5, 0.25):
        metrics.figure(RETRY_BUDGET).put(share)
        assert figures(descriptor)[RETRY_BUDGET.name,] == [share]


def test_what_is_shown_goes_with_the_next_that_is_shown_in_its_place(descriptor: int) -> None:
    metrics = Metrics(descriptor)
    reader = PageReader(descriptor)
    metrics.show([(ORGANIZATION_QUEUED, ("org:acme",), 3.0), (ORGANIZATION_QUEUED, ("ip:192.0.2.7",), 1.0)])
    assert shown(reader) == {"org:acme": 3.0, "ip:192.0.2.7": 1.0}
    metrics.show([(ORGANIZATION_QUEUED, ("org:acme",), 2.0)])
    assert shown(reader) == {"org:acme": 2.0}
    metrics.show([])
    assert shown(reader) == {}


def test_what_finds_no_room_to_be_shown_is_counted_as_lost_and_what_was_shown_stays(descriptor: int) -> None:
    metrics = Metrics(descriptor)
    metrics.show([(ORGANIZATION_QUEUED, ("org:acme",), 3.0)])
    metrics.show((ORGANIZATION_QUEUED, (str(number),), 1.0) for number in range(10_000))
    assert shown(PageReader(descriptor)) == {"org:acme": 3.0}
    assert figures(descriptor)["gateway_metric_updates_lost",] == [10_000]


@given(values=st.lists(st.sampled_from(WAITS) | st.floats(0, 1e9), min_size=1))
def test_many_at_once_are_counted_as_one_by_one(values: list[float]) -> None:
    descriptor = create_page()
    metrics = Metrics(descriptor)
    for value in values:
        metrics.observe(QUEUE_WAIT, value, "one by one")
    metrics.distribution(QUEUE_WAIT, "at once").observe_all(values)
    seen = figures(descriptor)
    total, *buckets = seen["gateway_queue_wait_seconds", "at once"]
    expected_total, *expected = seen["gateway_queue_wait_seconds", "one by one"]
    assert buckets == expected
    assert total == pytest.approx(expected_total)
    os.close(descriptor)


def test_counters_and_gauges_add_up_by_their_labels(descriptor: int) -> None:
    metrics = Metrics(descriptor)
    for model in ("chat", "embed", "chat"):
        metrics.count(TOKENS, model, "prompt", amount=10)
        metrics.count(RETRIES, model, "refused")
    for by in (1, 1, -1):
        metrics.move(IN_FLIGHT, by)
    seen = figures(descriptor)
    assert seen["gateway_tokens", "chat", "prompt"] == [20]
    assert seen["gateway_tokens", "embed", "prompt"] == [10]
    assert seen["gateway_upstream_retries", "chat", "refused"] == [2]
    assert seen["gateway_in_flight_requests",] == [1]


def test_the_same_labels_of_two_families_are_two_series(descriptor: int) -> None:
    metrics = Metrics(descriptor)
    metrics.observe(QUEUE_WAIT, 0.5, "chat")
    metrics.observe(FIRST_TOKEN, 0.25, "chat")
    seen = figures(descriptor)
    assert seen["gateway_queue_wait_seconds", "chat"][0] == 0.5
    assert seen["gateway_time_to_first_token_seconds", "chat"][0] == 0.25


@given(values=st.lists(st.sampled_from(WAITS) | st.floats(0, 1e9)))
def test_a_value_goes_into_the_bucket_that_the_library_would_choose(values: list[float]) -> None:
    descriptor = create_page()
    theirs = Histogram("x", "X.", buckets=WAITS, registry=CollectorRegistry())
    metrics = Metrics(descriptor)
    for value in values:
        metrics.observe(QUEUE_WAIT, value, "chat")
        theirs.observe(value)
    expected = [theirs._sum.get(), *(bucket.get() for bucket in theirs._buckets)]
    assert figures(descriptor).get(("gateway_queue_wait_seconds", "chat"), [0.0] * len(expected)) == expected
    os.close(descriptor)


def test_what_finds_no_room_is_counted_as_lost_and_remembered_by_nobody(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 20
    metrics = Metrics(descriptor)
    metrics.count(DISCONNECTS, "known")
    taken = figures(descriptor)
    before = len(taken)
    monkeypatch.setattr(page, "VALUES", sum(map(len, taken.values())) + room)
    for number in range(room + 100):
        metrics.count(DISCONNECTS, str(number), amount=7)
    for _ in range(5):
        metrics.observe(DURATION, 3.0, "/v1", "chat")
    metrics.count(DISCONNECTS, "known")
    seen = figures(descriptor)
    metrics.distribution(DURATION, "/v1", "chat").observe_all([3.0, 4.0])
    metrics.figure(DISCONNECTS, "unknown").put(3.0)
    seen = figures(descriptor)
    assert seen["gateway_metric_updates_lost",] == [108]
    assert seen["gateway_client_disconnects", "known"] == [2]
    assert len(seen) == before + room
    assert len(metrics._figures) + len(metrics._distributions) == before + room


MANY, IN_FORCE = 1000, 64
"""Models that a worker has seen since its start, and those that can be in force at a time."""


def ask(metrics: Metrics, model: str) -> None:
    """One streamed request, as far as its figures name the model or its backend."""
    for family, labels in COUNTED:
        named = tuple(model if label in NAMED else word for label, word in zip(family.labels, labels, strict=True))
        if family.kind is Kind.HISTOGRAM:
            metrics.observe(family, 0.5, *named)
        else:
            metrics.count(family, *named)


def total(seen: dict[tuple[str, ...], list[float]], family: Family) -> float:
    """Over all models: how often it was counted or observed."""
    ours = [values for name, values in seen.items() if name[0] == family.name]
    return sum(sum(values[1:]) if family.kind is Kind.HISTOGRAM else values[0] for values in ours)


def test_of_a_thousand_models_each_count_is_in_the_sum(descriptor: int) -> None:
    """The first have names of their own, three times as many as there can be at a time; the rest are one."""
    metrics = Metrics(descriptor)
    for number in range(MANY):
        ask(metrics, f"model-of-{number:04}")
    metrics.count(DISCONNECTS, "queued")
    seen = figures(descriptor)
    assert {family.name: total(seen, family) for family, _ in COUNTED} == {family.name: MANY for family, _ in COUNTED}
    assert seen["gateway_metric_updates_lost",] == [0]
    assert seen["gateway_client_disconnects", "queued"] == [1]
    assert seen["gateway_tokens", "other", "prompt"][0] > 0
    named = [f"model-of-{number:04}" for number in range(3 * IN_FORCE)]
    assert [name for name in named if ("gateway_inter_token_seconds", name) not in seen] == []


def test_labels_that_a_family_does_not_have_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="gateway_upstream_retries has the labels"):
        Metrics().count(RETRIES, "chat")
