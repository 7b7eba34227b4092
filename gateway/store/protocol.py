"""What may be asked of the shared state? Buckets, slots, seats, turns: each one decision that all agree on."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from gateway.store.accounts import Accounts


class Bucket(NamedTuple):
    """The shape of a token bucket: `rate` tokens flow in per second, at most `capacity` stay (both above 0)."""

    rate: float
    capacity: float


class BucketState(Struct, frozen=True, gc=False):  # made per request: a NamedTuple takes five times as long
    """What a bucket said: tokens that `remain`, seconds until the same cost is granted, seconds until it is full."""

    granted: bool
    remaining: float
    retry_after: float
    reset_after: float


class Grant(Struct, eq=False, gc=False):
    """One slot of `key`, held until it is released; `token` is unique in its worker, `waited` is in seconds.

    One that was given when there was room is a `spare_of` so many: nobody misses it if the store keeps it for a moment.
    """

    key: str
    token: int
    waited: float = 0.0
    released: bool = False
    spare_of: int = 0


Candidates = Callable[[], Sequence[str]]
"""Which backends may be asked now? Called again while a request waits; none: it has nothing to wait for."""


class Seat(Struct, eq=False, gc=False):
    """One of the seats at `backend`, held until it is left; `token` is unique in its worker, `waited` is in seconds."""

    group: str
    backend: str
    token: int
    waited: float = 0.0
    released: bool = False


class GroupCounts(NamedTuple):
    """How many requests of one group wait for a seat, and how many seats are taken at each backend that has any."""

    group: str
    queued: int
    taken: dict[str, int]


class KeyCounts(NamedTuple):
    """How many slots of one key are taken, and how many requests wait for one."""

    key: str
    in_flight: int
    queued: int


class StoreCounts(NamedTuple):
    """The state over all workers.

    `tracked` buckets are kept; `busiest` are the keys with the most requests, at most ten of them.
    """

    in_flight: int
    queued: int
    tracked: int
    busiest: tuple[KeyCounts, ...]


class LimiterStore(Protocol):
    """The limits' memory, one truth for all workers.

    Every method but `open` and `close` is one atomic decision; a Redis store makes it one script call. Methods raise
    `StoreUnavailableError` when the state cannot be written, except `release` and `leave_seat`, which never raise.

    Attributes:
        accounts: the counters of keys and organizations, opened and closed with the store.
    """

    accounts: Accounts

    @property
    def own(self) -> "LimiterStore":
        """What counts for this host alone: the store itself, unless several hosts share it."""
        ...

    async def open(self) -> None:
        """Join the other workers; call once, on the event loop that will use the store."""
        ...

    async def close(self) -> None:
        """Give back all that this worker holds and leave; those who wait get StoreUnavailableError.

        Grants released afterwards do nothing.
        """
        ...

    async def take(self, key: str, bucket: Bucket, cost: float = 1.0) -> BucketState:
        """Take `cost` tokens from the bucket of `key` if they are there; a cost of 0 only looks.

        A key's bucket is full at first, refills continuously, and is left as it was by a refusal.
        """
        ...

    async def acquire(self, key: str, *, limit: int, max_queued: int, patience: float) -> Grant:
        """Take one of the `limit` slots of `key`, after everybody who asked before, in whichever worker.

        Waits at most `patience` seconds in a queue of at most `max_queued`. A cancelled call holds nothing. The newest
        `limit` counts for the key. Raises `NoPlaceError` at once when the queue is full, `NoSlotError` when the time
        is over.
        """
        ...

    def release(self, grant: Grant) -> None:
        """Give the slot to whoever waits first. Has its effect once, however often it is called; never raises.

        One that nobody waits for may be kept for this worker's next request, as long as nobody is refused for it.
        """
        ...

    async def seat(
        self, group: str, organization: str, *, candidates: Candidates, limit: int, max_queued: int, patience: float
    ) -> Seat:
        """Take one of the `limit` seats of one of the `candidates`, backends of the group, when it is our turn.

        Of free seats it is the one at the candidate where the fewest are taken, in the given order among equals.
        Nobody who waits is overtaken: a free seat is a newcomer's only if none of those could use it.

        Otherwise it waits at most `patience` seconds among at most `max_queued` of the group. Organizations that wait
        stand in a row. A seat goes to the first of them that can use it, there to its oldest request that can, and
        that organization then stands last. The newest `limit` counts for the whole group.

        Who waits looks again several times a second, and when it is given a seat. If its candidates are others by then,
        it waits for those, and a seat at none of them goes to the next; it and its organization stand where they stood.

        A cancelled call holds nothing. Raises `NoPlaceError` at once when the queue is full, `NoSlotError` when the
        time is over or no candidate is left.
        """
        ...

    def leave_seat(self, seat: Seat) -> None:
        """Give the seat to whoever is next. Has its effect once, however often it is called; never raises."""
        ...

    async def next_turn(self, name: str) -> int:
        """0, 1, 2, ...: every call in any worker gets the next number of `name`. Names are few: they are kept."""
        ...

    async def lines(self) -> Sequence[KeyCounts]:
        """All keys of which slots are taken or waited for now, over all workers; the slots as `counts` has them."""
        ...

    def counts(self) -> StoreCounts:
        """How many slots are taken and requests queued now; those that other workers keep count as taken."""
        ...

    def seat_counts(self) -> tuple[GroupCounts, ...]:
        """The groups of which seats are taken or waited for, over all workers; the others are kept nowhere."""
        ...
