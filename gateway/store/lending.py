"""What is a bucket's record worth while workers hold tokens of it? All that is held counts as taken, for a while.

A bucket of which tokens are held fills up only as far as these leave room: else it could be full, and they on top of
it. How that never admits too much is told in docs/decisions/0081.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from gateway.core.structs import stored_plainly
from gateway.store import bucket as buckets
from gateway.store.protocol import Bucket, BucketState
from gateway.store.records import FULL_AT, LOAN
from gateway.store.ticks import LOAN_SECS

SHARE = 16
"""A parcel is that part of what is left, and what several workers hold of a bucket at once is about as many parts."""

MOST_TOKENS = 64
"""Of one parcel: nine of ten transactions are saved with ten already."""

LEAST_TOKENS = 2
"""Fewer would save no transaction: with less than 32 tokens left each request asks for its own."""

KEPT_SECS = 10.0
"""For so long behind a loan's end its worker may give back what it did not use in time, and a loop that is held up for
longer is a fault of another kind. Then it counts as used, as does what a dead worker held, and flows in again."""


class Loan(NamedTuple):
    """What a worker holds of a bucket: seconds that its tokens take to flow in, and when it may use them no more."""

    worker: int
    secs: float
    until: float


@stored_plainly
class Parcel(Struct, eq=False):
    """Tokens of one bucket in the hand of a worker.

    Attributes:
        bucket: the shape of the bucket that they were taken from.
        full_at: of the bucket as far as this worker knows, where what is merely held is not taken.
        left: tokens that are not used.
        until: when they can be used no more, seconds of the monotonic clock.
        written: the record of the bucket behind the transaction that they come from.
    """

    bucket: Bucket
    full_at: float
    left: int
    until: float
    written: bytes

    def draw(self, now: float, bucket: Bucket) -> BucketState | None:
        """Use one; None: there is none for this request."""
        if not self.left or now >= self.until or bucket != self.bucket:
            return None
        self.left -= 1
        self.full_at, state = buckets.take(self.full_at, now, bucket, 1.0)
        return state


class Asked(NamedTuple):
    """What a worker asks of a bucket: `cost` tokens, once its `parcel` is back; with `more`, another parcel."""

    worker: int
    bucket: Bucket
    cost: float
    parcel: Parcel | None
    more: bool


class Answer(NamedTuple):
    """What a bucket said, what it lent, and the other workers that may hold some of it."""

    state: BucketState
    parcel: Parcel | None
    holders: Sequence[int]


class Level(NamedTuple):
    """When a bucket is full again, if all that is held is used, and what is held."""

    full_at: float
    loans: list[Loan]


def level(value: bytes | None, now: float, worker: int = 0, parcel: Parcel | None = None) -> Level:
    """How a bucket stands once that worker's parcel is back in it, where the record still tells of that.

    What the bucket would have taken in above the brim is gone. How much of what was used it would have made up for only
    the worker knows that used it, and only if nobody else asked meanwhile; otherwise none. A loan that is over keeps
    its room until its worker gives it back.
    """
    if value is None:
        return Level(buckets.FULL, [])
    if parcel is not None and value == parcel.written and len(value) == FULL_AT.size + LOAN.size:
        return Level(parcel.full_at, [])
    if len(value) == FULL_AT.size:
        return Level(FULL_AT.unpack(value)[0], [])
    known = _unpacked(value)
    full_at, standing = _without_those_over(known, now - KEPT_SECS)
    if standing:
        full_at = max(full_at, now + sum(loan.secs for loan in standing))
    if parcel is None:
        return Level(full_at, standing)
    if any(loan.worker == worker for loan in known.loans):
        full_at -= parcel.left / parcel.bucket.rate
    others = [loan for loan in standing if loan.worker != worker]
    # What a parcel that is over gives back was no part of the room for those that go on.
    return Level(max(full_at, now + sum(loan.secs for loan in others)) if others else full_at, others)


def _without_those_over(known: Level, since: float) -> Level:
    """The same once all that was lent until then is taken for used in its last moment."""
    full_at, loans = known
    over = [loan.until for loan in loans if loan.until <= since]
    if not over:
        return known
    held = sum(loan.secs for loan in loans)
    return Level(max(full_at, max(over) + held), [loan for loan in loans if loan.until > since])


def _unpacked(value: bytes) -> Level:
    full_at: float = FULL_AT.unpack_from(value)[0]
    return Level(full_at, [Loan(*figures) for figures in LOAN.iter_unpack(value[FULL_AT.size :])])


def packed(level: Level) -> bytes:
    """The record of a bucket."""
    return b"".join((FULL_AT.pack(level.full_at), *(LOAN.pack(*loan) for loan in level.loans)))


def take(value: bytes | None, now: float, asked: Asked) -> tuple[bytes | None, Answer]:
    """Take from the bucket of that record: the new record, and what to say."""
    worker, bucket, cost, parcel, more = asked
    if parcel is None and not more and (value is None or len(value) == FULL_AT.size):  # nothing is held or lent
        before = FULL_AT.unpack(value)[0] if value else buckets.FULL
        after, state = buckets.take(before, now, bucket, cost)
        return FULL_AT.pack(after) if after != before else value, Answer(state, None, ())
    before, loans = level(value, now, worker, parcel)
    after, state = buckets.take(before, now, bucket, cost)
    holders = [loan.worker for loan in loans if loan.until > now]
    if not state.granted:
        return packed(Level(after, loans)), Answer(state, None, holders)
    held = sum(loan.secs for loan in loans if loan.until > now)
    if held:
        _, state = buckets.take(before - held, now, bucket, cost)
    tokens = min(int((bucket.capacity - (after - now) * bucket.rate) / SHARE), MOST_TOKENS) if more else 0
    if tokens < LEAST_TOKENS:
        return (None if after == buckets.FULL else packed(Level(after, loans))), Answer(state, None, holders)
    secs, until = tokens / bucket.rate, now + LOAN_SECS
    written = packed(Level(after + secs, [*loans, Loan(worker, secs, until)]))
    return written, Answer(state, Parcel(bucket, after - held, tokens, until, written), holders)


def give_back(value: bytes | None, now: float, worker: int, parcel: Parcel) -> bytes | None:
    """The record of the bucket once that parcel is back in it; None: it is full, and has none."""
    return None if value is None else packed(level(value, now, worker, parcel))


def full_at(value: bytes, now: float) -> float | None:
    """When the bucket of that record is full; None: somebody may hold some of it."""
    if len(value) == FULL_AT.size:
        return float(FULL_AT.unpack(value)[0])
    at, loans = _without_those_over(_unpacked(value), now)
    return None if loans else at
