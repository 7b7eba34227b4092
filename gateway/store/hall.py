"""Which organization's request gets the next free seat? One group's seats and queue, in one worker's memory."""

from collections import Counter, OrderedDict
from collections.abc import Sequence

from gateway.store.protocol import Seat


class Hall:
    """The seats of one group's backends, and the row of organizations that wait for one.

    Whoever comes to wait stands last, and whoever was given a seat and waits on stands last again: so nobody who could
    use a seat sees it go to the same organization twice.
    """

    def __init__(self) -> None:
        self.limit = 0
        self.taken: Counter[str] = Counter()  # by backend, without zeros
        self.wanted: Counter[str] = Counter()  # how many wait who could use a seat there
        self.row: OrderedDict[str, OrderedDict[Seat, Sequence[str]]] = OrderedDict()
        """Who waits, with the candidates: the oldest first of each organization, organizations in their order."""

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return sum(map(len, self.row.values()))

    @property
    def is_due(self) -> bool:
        """Is there a free seat that anybody who waits could use?"""
        return any(wanted and self.taken[backend] < self.limit for backend, wanted in self.wanted.items())

    def choose(self, candidates: Sequence[str]) -> str:
        """The candidate with a free seat at which the fewest are taken; empty when there is none."""
        free = [backend for backend in candidates if self.taken[backend] < self.limit]
        return min(free, key=self.taken.__getitem__, default="")

    def sit(self, seat: Seat, backend: str) -> None:
        """Take a seat there."""
        seat.backend = backend
        self.taken[backend] += 1

    def wait(self, organization: str, seat: Seat, candidates: Sequence[str]) -> None:
        """Stand behind the organization's other requests; behind everybody, if it has none."""
        self.row.setdefault(organization, OrderedDict())[seat] = candidates
        self.wanted.update(candidates)

    def quit(self, organization: str, seat: Seat) -> None:
        """Give up a place."""
        waiting = self.row[organization]
        self.wanted.subtract(waiting.pop(seat))
        if not waiting:
            del self.row[organization]

    def leave(self, backend: str) -> None:
        """Give up a seat there."""
        self.taken[backend] -= 1
        self.taken += Counter()  # forgets zeros

    def call(self) -> list[Seat]:
        """Give the free seats to those who wait and can use them: whose they are now."""
        called: list[Seat] = []
        while self.is_due:
            organization, seat, backend = self._next()
            self.sit(seat, backend)
            called.append(seat)
            self.row.move_to_end(organization)
            self.quit(organization, seat)
        return called

    def _next(self) -> tuple[str, Seat, str]:
        each = ((organization, *place) for organization, waiting in self.row.items() for place in waiting.items())
        given = ((organization, seat, self.choose(candidates)) for organization, seat, candidates in each)
        return next(due for due in given if due[-1])
