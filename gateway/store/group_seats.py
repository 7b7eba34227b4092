"""Who sits and who waits? One group's seats and rota, in one worker's memory."""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence

from gateway.store.protocol import Seat
from gateway.store.rota import NOWHERE, choose, is_due, whose_turn


class GroupSeats:
    """The seats of one group's backends, and the rota of organizations that wait for one.

    Whoever comes to wait stands last, and whoever was given a seat and waits on stands last again: so nobody who could
    use a seat sees it go to the same organization twice.
    """

    def __init__(self) -> None:
        self.limit = 0
        self.taken: Counter[str] = Counter()  # by backend, without zeros
        self.wanted: Counter[str] = Counter()  # how many wait who could use a seat there
        self.rota: OrderedDict[str, OrderedDict[Seat, tuple[str, ...]]] = OrderedDict()
        """Who waits, with the candidates: the oldest first of each organization, organizations in their order."""

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return sum(map(len, self.rota.values()))

    def choose(self, candidates: Sequence[str]) -> str:
        """The candidate at which a newcomer may sit down; empty when there is none."""
        choice = choose(self._of(candidates), self.limit)
        return "" if choice == NOWHERE else candidates[choice]

    def sit(self, seat: Seat, backend: str) -> None:
        """Take a seat there."""
        seat.backend = backend
        self.taken[backend] += 1

    def wait(self, organization: str, seat: Seat, candidates: tuple[str, ...]) -> None:
        """Stand behind the organization's other requests; behind everybody, if it has none."""
        self.rota.setdefault(organization, OrderedDict())[seat] = candidates
        self.wanted.update(candidates)

    def quit(self, organization: str, seat: Seat) -> None:
        """Give up a place."""
        waiting = self.rota[organization]
        self.wanted.subtract(waiting.pop(seat))
        if not waiting:
            del self.rota[organization]

    def leave(self, backend: str) -> None:
        """Give up a seat there."""
        self.taken[backend] -= 1
        self.taken += Counter()  # forgets zeros

    def call(self) -> list[Seat]:
        """Give the free seats to those who wait and can use them: whose they are now."""
        called: list[Seat] = []
        while is_due(self._of(tuple(self.wanted)), self.limit):
            found = whose_turn(self._waiting(), self._seat_at)
            if found is None:
                break
            (organization, seat), choice = found
            self.sit(seat, self.rota[organization][seat][choice])
            called.append(seat)
            self.rota.move_to_end(organization)
            self.quit(organization, seat)
        return called

    def _waiting(self) -> Iterator[tuple[tuple[str, Seat], tuple[str, ...]]]:
        for organization, waiting in self.rota.items():
            for seat, candidates in waiting.items():
                yield (organization, seat), candidates

    def _seat_at(self, candidates: Sequence[str]) -> int:
        return choose(self._of(candidates), self.limit, for_who_waits=True)

    def _of(self, backends: Sequence[str]) -> list[tuple[int, int]]:
        return [(self.taken[backend], self.wanted[backend]) for backend in backends]
