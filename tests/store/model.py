"""What is promised of a store, without workers, waiting or files: who runs where after each thing that happens."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.store.protocol import Bucket, GroupCounts

Visit = int
"""The number of a request that holds or waits, in the order in which they came."""


@dataclass
class Slots:
    """One organization's slots."""

    limit: int = 0
    running: set[Visit] = field(default_factory=set)
    waiting: list[Visit] = field(default_factory=list)

    def admit(self) -> None:
        while self.waiting and len(self.running) < self.limit:
            self.running.add(self.waiting.pop(0))


@dataclass(frozen=True)
class Wish:
    """What a request for a seat says."""

    visit: Visit
    organization: str
    candidates: tuple[str, ...]


@dataclass
class Seats:
    """One group's seats."""

    limit: int = 0
    seated: dict[Visit, str] = field(default_factory=dict)
    waiting: list[Wish] = field(default_factory=list)
    rota: list[str] = field(default_factory=list)

    def taken(self, backend: str) -> int:
        return list(self.seated.values()).count(backend)

    def come(self, wish: Wish) -> None:
        """After `admit`, so that whatever is free is of no use to anybody who waits."""
        if backend := self.best(wish):
            self.seated[wish.visit] = backend
            return
        self.waiting.append(wish)
        if wish.organization not in self.rota:
            self.rota.append(wish.organization)

    def best(self, wish: Wish) -> str:
        free = [backend for backend in wish.candidates if self.taken(backend) < self.limit]
        return min(free, key=self.taken, default="")

    def change(self, wish: Wish) -> None:
        """Who waits may use others from now on, and stands where it stood."""
        self.waiting = [wish if other.visit == wish.visit else other for other in self.waiting]
        self.admit()

    def drop(self, visit: Visit) -> None:
        self.seated.pop(visit, None)
        self.waiting = [wish for wish in self.waiting if wish.visit != visit]
        self.rota = [who for who in self.rota if any(wish.organization == who for wish in self.waiting)]

    def admit(self) -> None:
        while due := next(self._due(), None):
            wish, backend = due
            self.drop(wish.visit)
            self.seated[wish.visit] = backend
            if wish.organization in self.rota:
                self.rota.remove(wish.organization)
                self.rota.append(wish.organization)

    def _due(self) -> Iterator[tuple[Wish, str]]:
        for organization in self.rota:
            for wish in self.waiting:
                if wish.organization == organization and (backend := self.best(wish)):
                    yield wish, backend


class Model:
    """Everything a store keeps."""

    def __init__(self) -> None:
        self.slots: defaultdict[str, Slots] = defaultdict(Slots)
        self.seats: defaultdict[str, Seats] = defaultdict(Seats)
        self.full_at: dict[str, float] = {}

    def take(self, key: str, bucket: Bucket, cost: float, now: float) -> bool:
        """Is it granted? Tokens are counted in the seconds that they take to flow in."""
        missing = max(self.full_at.get(key, now) - now, 0.0) + cost / bucket.rate
        granted = missing <= bucket.capacity / bucket.rate + 1e-6
        if granted:
            self.full_at[key] = now + missing
        return granted

    def acquire(self, key: str, visit: Visit, limit: int) -> None:
        slots = self.slots[key]
        slots.limit = limit
        slots.admit()
        slots.waiting.append(visit)
        slots.admit()

    def seat(self, group: str, wish: Wish, limit: int) -> None:
        seats = self.seats[group]
        seats.limit = limit
        seats.admit()
        seats.come(wish)

    def change(self, wish: Wish) -> None:
        for seats in self.seats.values():
            seats.change(wish)

    def end(self, visits: Iterable[Visit]) -> None:
        """These requests end, whether they run or wait; places are given up before anything that runs is."""
        gone = set(visits)
        for slots in self.slots.values():
            slots.waiting = [visit for visit in slots.waiting if visit not in gone]
            slots.running -= gone
            slots.admit()
        for seats in self.seats.values():
            for wish in list(seats.waiting):
                if wish.visit in gone:
                    seats.drop(wish.visit)
            for backend in sorted(set(seats.seated.values())):
                for visit in gone:
                    if seats.seated.get(visit) == backend:
                        seats.drop(visit)
                seats.admit()

    @property
    def running(self) -> dict[Visit, str]:
        """Who runs, and at which backend if it asked for one."""
        slots = dict.fromkeys((visit for slots in self.slots.values() for visit in slots.running), "")
        return slots | {visit: at for seats in self.seats.values() for visit, at in seats.seated.items()}

    @property
    def seat_counts(self) -> set[tuple[str, int, frozenset[tuple[str, int]]]]:
        """What `LimiterStore.seat_counts` says, in no order."""
        return summary(
            GroupCounts(group, len(seats.waiting), {at: seats.taken(at) for at in seats.seated.values()})
            for group, seats in self.seats.items()
            if seats.seated or seats.waiting
        )


def summary(counts: Iterable[GroupCounts]) -> set[tuple[str, int, frozenset[tuple[str, int]]]]:
    """Counts in a form that can be compared whatever their order."""
    return {(group, queued, frozenset(taken.items())) for group, queued, taken in counts}
