"""Every update lands in its series, and what finds no room is counted as lost."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from gateway.observability import families, page
from gateway.observability.families import CATALOGUE
from gateway.observability.metrics import Metrics
from gateway.observability.page import PageReader, create_page


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = create_page()
    yield made
    os.close(made)


def figures(descriptor: int) -> dict[tuple[str, ...], list[float]]:
    return {(series.family, *series.labels): series.values for series in PageReader(descriptor).read()}


def test_series_without_labels_are_there_at_zero(descriptor: int) -> None:
    Metrics(descriptor)
    assert figures(descriptor) == {(family.name,): [0.0] for family in CATALOGUE if not family.labels}


def test_counters_and_gauges_add_up_by_their_labels(descriptor: int) -> None:
    metrics = Metrics(descriptor)
    for model in ("chat", "embed", "chat"):
        metrics.count(families.TOKENS, model, "prompt", amount=10)
        metrics.count(families.RETRIES, model, "refused")
    for by in (1, 1, -1):
        metrics.move(families.IN_FLIGHT, by)
    seen = figures(descriptor)
    assert seen["gateway_tokens", "chat", "prompt"] == [20]
    assert seen["gateway_tokens", "embed", "prompt"] == [10]
    assert seen["gateway_upstream_retries", "chat", "refused"] == [2]
    assert seen["gateway_in_flight_requests",] == [1]


def test_the_same_labels_of_two_families_are_two_series(descriptor: int) -> None:
    metrics = Metrics(descriptor)
    metrics.observe(families.QUEUE_WAIT, 0.5, "chat")
    metrics.observe(families.FIRST_TOKEN, 0.25, "chat")
    seen = figures(descriptor)
    assert seen["gateway_queue_wait_seconds", "chat"][0] == 0.5
    assert seen["gateway_time_to_first_token_seconds", "chat"][0] == 0.25


@given(values=st.lists(st.sampled_from(families.WAITS) | st.floats(0, 1e9)))
def test_a_value_goes_into_the_bucket_that_the_library_would_choose(values: list[float]) -> None:
    descriptor = create_page()
    theirs = Histogram("x", "X.", buckets=families.WAITS, registry=CollectorRegistry())
    metrics = Metrics(descriptor)
    for value in values:
        metrics.observe(families.QUEUE_WAIT, value, "chat")
        theirs.observe(value)
    expected = [theirs._sum.get(), *(bucket.get() for bucket in theirs._buckets)]
    assert figures(descriptor).get(("gateway_queue_wait_seconds", "chat"), [0.0] * len(expected)) == expected
    os.close(descriptor)


def test_what_finds_no_room_is_counted_as_lost_and_remembered_by_nobody(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "VALUES", 20)
    metrics = Metrics(descriptor)
    metrics.count(families.DISCONNECTS, "known")
    room = 20 - len(figures(descriptor))
    for number in range(room + 100):
        metrics.count(families.DISCONNECTS, str(number), amount=7)
    for _ in range(5):
        metrics.observe(families.DURATION, 3.0, "/v1", "chat")
    metrics.count(families.DISCONNECTS, "known")
    seen = figures(descriptor)
    assert seen["gateway_metric_updates_lost",] == [105]
    assert seen["gateway_client_disconnects", "known"] == [2]
    assert len(seen) == 20
    assert len(metrics._figures) == 20
    assert len(metrics._distributions) == 0


def test_labels_that_a_family_does_not_have_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="gateway_upstream_retries has the labels"):
        Metrics().count(families.RETRIES, "chat")
