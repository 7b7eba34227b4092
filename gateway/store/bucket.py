"""How much is in a bucket? A token bucket kept as one number: the moment at which it will be full again."""

import math
from collections.abc import Iterable
from typing import TypeVar

from gateway.store.protocol import Bucket, BucketState

FULL = -math.inf
"""The `full_at` of a bucket that nothing was taken from."""

SLACK = 1e-6
"""Tokens that a sum of floats may miss: the hundredth token of a hundred must not fail on the last bit."""

Key = TypeVar("Key")


def take(full_at: float, now: float, bucket: Bucket, cost: float) -> tuple[float, BucketState]:
    """Take `cost` tokens at `now`; the new `full_at` (seconds, monotonic) and what to say.

    A refusal leaves it as it is, unless more was missing than there is room for: who waited as told would be refused
    until all of that had flowed in. A cost above the capacity is never granted.
    """
    rate, capacity = bucket
    missing = full_at - now
    if missing < 0.0:
        missing = 0.0
    elif missing * rate > capacity:  # the bucket was larger, or the record is of another boot
        missing = capacity / rate
        full_at = now + missing
    tokens = capacity - missing * rate
    granted = tokens + SLACK >= cost
    if granted and cost:
        tokens -= cost
        missing += cost / rate
        full_at = now + missing
    short = (cost or 1.0) - tokens
    wait = short / rate if short > SLACK else 0.0
    left = tokens if tokens > 0.0 else 0.0  # noqa: FURB136 -- `max` costs 800 instructions more
    return full_at, BucketState(granted, left, wait, missing)


def choose_victims(sample: Iterable[tuple[Key, float]], now: float) -> list[Key]:
    """Which of these buckets may be forgotten, when there are too many? At least one, if the sample has any.

    Forgetting a bucket fills it: those that are full lose nothing; failing that, the one that misses the least goes,
    so that a drained bucket is the last to be had again by flooding the gateway with new keys.
    """
    seen = sorted(sample, key=lambda item: item[1])
    full = [key for key, full_at in seen if full_at <= now]
    return full or [key for key, _ in seen[:1]]
