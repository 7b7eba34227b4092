"""A bucket is one number, and its arithmetic never gives a token away."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.bucket import FULL, choose_victims, take
from gateway.store.protocol import Bucket

rates = st.floats(0.001, 10_000)
capacities = st.floats(1, 100_000)
pauses = st.lists(st.floats(0, 10), min_size=1, max_size=200)


@given(rates, capacities, pauses, st.floats(0, 1e8))
def test_no_more_is_granted_than_the_capacity_and_what_flowed_in(
    rate: float, capacity: float, pauses: list[float], start: float
) -> None:
    bucket, full_at, now, granted = Bucket(rate, capacity), FULL, start, 0
    for pause in pauses:
        now += pause
        for _ in range(3):
            full_at, state = take(full_at, now, bucket, 1)
            granted += state.granted
    assert granted <= (capacity + (now - start) * rate) * (1 + 1e-6) + 1e-3


@given(rates, capacities, st.integers(1, 50), st.floats(0, 1e7))
def test_whoever_comes_back_when_told_is_granted(rate: float, capacity: float, takes: int, start: float) -> None:
    bucket, full_at, now = Bucket(rate, capacity), FULL, start
    for _ in range(takes):
        full_at, state = take(full_at, now, bucket, 1)
        now += state.retry_after + 1e-6
        assert take(full_at, now, bucket, 1)[1].granted


@pytest.mark.parametrize("new", [Bucket(100, 100), Bucket(1, 10)])
def test_who_was_refused_by_a_bucket_that_has_become_smaller_is_granted_when_told(new: Bucket) -> None:
    full_at, _ = take(FULL, 0.0, Bucket(0.2, 1000), 1000)
    full_at, state = take(full_at, 0.0, new, 1)
    assert not state.granted
    assert take(full_at, state.retry_after + 1e-6, new, 1)[1].granted


@pytest.mark.parametrize(("rate", "capacity"), [(50, 100), (3, 7), (0.1, 1), (333.3, 1000)])
def test_the_capacity_is_granted_to_the_last_token(rate: float, capacity: int) -> None:
    full_at, now = FULL, 123_456.789
    states = []
    for _ in range(capacity + 1):
        full_at, state = take(full_at, now, Bucket(rate, capacity), 1)
        states.append(state.granted)
    assert states == [True] * capacity + [False]


def test_a_refusal_leaves_the_bucket_as_it_was() -> None:
    bucket = Bucket(rate=1, capacity=10)
    full_at, _ = take(FULL, 100.0, bucket, 8)
    assert take(full_at, 100.0, bucket, 5)[0] == full_at
    assert take(full_at, 100.0, bucket, 2)[1].granted


def test_a_record_from_another_boot_costs_one_empty_bucket_at_the_most() -> None:
    state = take(1e9, 5.0, Bucket(rate=50, capacity=100), 1)[1]
    assert not state.granted
    assert state.reset_after == 2.0
    assert state.retry_after == pytest.approx(0.02)


def test_full_buckets_are_forgotten_first_and_all_of_them() -> None:
    assert choose_victims([("a", 9.0), ("b", 11.0), ("c", 10.0)], now=10.0) == ["a", "c"]


def test_when_none_is_full_the_fullest_goes() -> None:
    assert choose_victims([("a", 12.0), ("b", 11.0), ("c", math.inf)], now=10.0) == ["b"]


def test_nothing_is_forgotten_of_nothing() -> None:
    assert choose_victims([], now=10.0) == []
