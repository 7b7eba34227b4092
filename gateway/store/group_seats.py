"""Who sits and who waits? One group's seats and rota, in one worker's memory."""

import itertools
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
        self._numbers = itertools.count()
        self._positions: dict[str, int] = {}
        """Where each organization of the rota stands."""
        self._given: dict[Seat, int] = {}
        """Where the organization of each seat that was given stood before."""

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
        if organization not in self.rota:
            self.rota[organization] = OrderedDict()
            self._positions[organization] = next(self._numbers)
        self.rota[organization][seat] = candidates
        self.wanted.update(candidates)

    def look(self, organization: str, seat: Seat, candidates: tuple[str, ...]) -> None:
        """What was given is had, if it is one of the candidates; otherwise it waits on for one of these.

        Who changes its candidates, or declines a seat, stands where it stood, and so does its organization.
        """
        if seat.backend in candidates:
            return
        if seat.backend:
            self._put_back(organization, seat, candidates)
        else:
            waiting = self.rota[organization]
            self.wanted.subtract(waiting[seat])
            waiting[seat] = candidates
            self.wanted.update(candidates)

    def quit(self, organization: str, seat: Seat) -> None:
        """Give up a place."""
        waiting = self.rota[organization]
        self.wanted.subtract(waiting.pop(seat))
        if not waiting:
            del self.rota[organization], self._positions[organization]

    def leave(self, seat: Seat) -> None:
        """Give up a seat."""
        self._given.pop(seat, None)
        self.taken[seat.backend] -= 1
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
            self._given[seat] = self._positions[organization]
            self._positions[organization] = next(self._numbers)
            self.rota.move_to_end(organization)
            self.quit(organization, seat)
        return called

    def _put_back(self, organization: str, seat: Seat, candidates: tuple[str, ...]) -> None:
        position = self._given[seat]
        self.leave(seat)
        seat.backend = ""
        self.wait(organization, seat, candidates)
        self._positions[organization] = min(position, self._positions[organization])
        self.rota[organization] = OrderedDict(sorted(self.rota[organization].items(), key=lambda item: item[0].token))
        self.rota = OrderedDict(sorted(self.rota.items(), key=lambda item: self._positions[item[0]]))

    def _waiting(self) -> Iterator[tuple[tuple[str, Seat], tuple[str, ...]]]:
        for organization, waiting in self.rota.items():
            for seat, candidates in waiting.items():
                yield (organization, seat), candidates

    def _seat_at(self, candidates: Sequence[str]) -> int:
        return choose(self._of(candidates), self.limit, for_who_waits=True)

    def _of(self, backends: Sequence[str]) -> list[tuple[int, int]]:
        return [(self.taken[backend], self.wanted[backend]) for backend in backends]
