"""Which tokens of buckets does a worker hold for its next requests? Such as nobody misses: docs/decisions/0081."""

from gateway.core.clock import Clock
from gateway.store.desk import Desk
from gateway.store.errors import StoreUnavailableError
from gateway.store.eviction import BucketShelf
from gateway.store.lending import Answer, Asked, Parcel
from gateway.store.protocol import Bucket, BucketState
from gateway.store.records import record_name
from gateway.store.ticks import LOOKS, TICK_SECS, Pause

MOST_PARCELS = 32
"""That a worker holds; one more, and all are given back in one transaction: some 0.1 ms."""


class Parcels(dict[str, Parcel]):
    """What this worker holds of buckets, by their keys; their records count it as taken."""

    def __init__(self, desk: Desk, clock: Clock, shelf: BucketShelf) -> None:
        super().__init__()
        self._desk = desk
        self._clock = clock
        self._shelf = shelf
        self._asked: set[str] = set()  # keys of which a token was taken since the last tick
        self._pause = Pause()  # since another worker needed one

    async def take(self, key: str, bucket: Bucket, cost: float) -> BucketState:
        """See `LimiterStore.take`; by a transaction, or several where others hold what is missing."""
        state, _, holders = self._ask(key, bucket, cost)
        for _ in range(LOOKS):
            if state.granted or not holders:
                break
            self._pause.begin()
            self._desk.call_for(holders)
            await self._clock.sleep(TICK_SECS)
            state, _, holders = self._ask(key, bucket, cost)
        return state

    def _ask(self, key: str, bucket: Bucket, cost: float) -> Answer:
        more = cost == 1.0 and key in self._asked and not self._pause.ticks
        if more and len(self) >= MOST_PARCELS and key not in self:
            self.give_back()
        asked = Asked(self._desk.worker, bucket, cost, self.get(key), more)
        answer = self._desk.decide(self._shelf.take, record_name(key), self._clock.monotonic(), asked)
        self._asked.add(key)
        if answer.parcel is not None:
            self[key] = answer.parcel
        elif asked.parcel is not None:
            del self[key]
        return answer

    def give_back(self) -> None:
        """Give up all; what cannot be written now is held until the next tick, but not used for longer than lent."""
        if not self:
            return
        held = {record_name(key): parcel for key, parcel in self.items()}
        try:
            self._desk.decide(self._shelf.give_back, self._desk.worker, self._clock.monotonic(), held)
        except StoreUnavailableError as error:
            self._desk.complain("tokens_not_given_back", error)
            return
        self.clear()

    def called_for(self) -> None:
        """Somebody needs what this worker holds."""
        self._pause.begin()
        self.give_back()

    def tick(self) -> None:
        """Give back what the last tick's requests left over."""
        self._pause.tick()
        self._asked.clear()
        self.give_back()
