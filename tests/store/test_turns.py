"""Whatever comes and goes, nobody who waits for a seat sees it go to the same organization twice."""

import itertools
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, cast

import lmdb
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store import seating
from gateway.store.group_seats import GroupSeats
from gateway.store.protocol import Seat
from gateway.store.records import Claimant
from gateway.store.seat_records import given_key, unpack_given
from gateway.store.tree import Environment, Tree

GROUP, WORKER = b"chat", 1
BACKENDS = ("chat0", "chat1", "chat2")


class Discipline(Protocol):
    """What a store does for one group; requests are numbers, and every call says who sits where from now on."""

    def come(self, request: int, organization: str, candidates: tuple[str, ...], limit: int) -> dict[int, str]: ...

    def go(self, request: int) -> dict[int, str]: ...

    def change(self, request: int, candidates: tuple[str, ...]) -> dict[int, str]:
        """One that waits, or was given a seat just now, looks, and may use these; a seat at another is declined."""
        ...


class InMemory:
    """The rota of the store in memory."""

    def __init__(self) -> None:
        self.group = GroupSeats()
        self.seats: dict[int, tuple[Seat, str]] = {}

    def come(self, request: int, organization: str, candidates: tuple[str, ...], limit: int) -> dict[int, str]:
        self.group.limit = limit
        given = self._call()
        seat = Seat("chat", "", request)
        self.seats[request] = seat, organization
        if backend := self.group.choose(candidates):
            self.group.sit(seat, backend)
            return given | {request: backend}
        self.group.wait(organization, seat, candidates)
        return given

    def go(self, request: int) -> dict[int, str]:
        seat, organization = self.seats.pop(request)
        if seat.backend:
            self.group.leave(seat)
        else:
            self.group.quit(organization, seat)
        return self._call()

    def change(self, request: int, candidates: tuple[str, ...]) -> dict[int, str]:
        seat, organization = self.seats[request]
        self.group.look(organization, seat, candidates)
        return self._call()

    def _call(self) -> dict[int, str]:
        return {seat.token: seat.backend for seat in self.group.call()}


class InTree:
    """The rota of the LMDB store, within one transaction."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.places: dict[
            int, bytes
        ] = {}  # of those who wait, and of those who have not looked at what they were given
        self.sitting: dict[int, str] = {}

    def come(self, request: int, organization: str, candidates: tuple[str, ...], limit: int) -> dict[int, str]:
        names = tuple(name.encode() for name in candidates)
        asked = seating.Asked(GROUP, organization.encode(), Claimant(WORKER, request), names)
        backend, place, called = seating.enter(self.tree, asked, limit, 1000)
        given = self._told(called)
        if place:
            self.places[request] = place
            return given
        self.sitting[request] = backend.decode()
        return given | {request: backend.decode()}

    def go(self, request: int) -> dict[int, str]:
        if request in self.places:
            return self._told(seating.withdraw(self.tree, self.places.pop(request)))
        return self._told(seating.leave(self.tree, GROUP, self.sitting.pop(request).encode(), WORKER))

    def change(self, request: int, candidates: tuple[str, ...]) -> dict[int, str]:
        names = tuple(name.encode() for name in candidates)
        backend, called = seating.look(self.tree, self.places[request], names)
        mine = {}
        if backend:
            del self.places[request]
            mine[request] = self.sitting[request] = backend.decode()
        return self._told([who for who in called if who.token not in mine]) | mine

    def _told(self, called: list[Claimant]) -> dict[int, str]:
        notes = {request: self.tree.get(given_key(self.places[request])) for _, request in called}
        return {request: unpack_given(note).backend.decode() for request, note in notes.items() if note}


@contextmanager
def in_tree() -> Iterator[InTree]:
    with (
        tempfile.TemporaryDirectory() as directory,
        lmdb.open(directory, map_size=2**22, sync=False) as environment,
    ):
        tree = cast("Environment", environment).begin(None, None, True)  # noqa: FBT003 -- see Environment.begin
        yield InTree(tree)
        assert tree.stat()["entries"] == 0, "what nobody uses is kept nowhere"
        tree.abort()


@dataclass
class Witness:
    """Who waits and sits, as told by what a discipline says; it knows no rota, and checks what is promised."""

    discipline: Discipline
    limit: int = 1
    waiting: dict[int, tuple[str, tuple[str, ...]]] = field(default_factory=dict)  # oldest first
    sitting: dict[int, str] = field(default_factory=dict)
    unseen: dict[int, tuple[str, set[str]]] = field(default_factory=dict)
    """Of seats that were given, until they were looked at: whose, and whom that passed over."""
    passed: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How often each organization that waits has seen a seat, that it could use, go to each other one."""

    def come(self, request: int, organization: str, candidates: tuple[str, ...], limit: int) -> None:
        self.limit = limit
        given = self.discipline.come(request, organization, candidates, limit)
        mine = given.pop(request, "")
        self._given(given)  # for a raised limit, before the newcomer stands there
        self.waiting[request] = organization, candidates
        self._given({request: mine} if mine else {})
        self.unseen.pop(request, None)

    def go(self, request: int) -> None:
        self.unseen.pop(request, None)
        if not self.sitting.pop(request, ""):
            organization, _ = self.waiting.pop(request)
            self._forget_unless_waiting(organization)
        self._given(self.discipline.go(request))

    def change(self, request: int, candidates: tuple[str, ...]) -> None:
        """It looks, if it waits or has not looked at what it was given; a seat that it declines was no turn."""
        given = self.discipline.change(request, candidates)
        if request in self.unseen:
            organization, others = self.unseen.pop(request)
            if self.sitting[request] in candidates:
                assert given in ({}, {request: self.sitting[request]})
                return
            del self.sitting[request]
            for other in others & set(self.passed):
                self.passed[other][organization] -= 1
        else:
            organization, _ = self.waiting.pop(request)
        self.passed.pop(organization, None)
        self.waiting[request] = organization, candidates
        self._given(given)
        self.unseen.pop(request, None)

    def _given(self, given: dict[int, str]) -> None:
        for request, backend in given.items():
            organization, candidates = self.waiting[request]
            assert backend in candidates
            older = [other for other in self.waiting if other < request and self.waiting[other][0] == organization]
            assert not any(backend in self.waiting[other][1] for other in older), "first in, first out"
            del self.waiting[request]
            self.sitting[request] = backend
            self.passed.pop(organization, None)
            others = {who for who, usable in self.waiting.values() if backend in usable} - {organization}
            self.unseen[request] = organization, others
            for other in others:
                self.passed[other][organization] += 1
                assert self.passed[other][organization] <= 1, "passed over twice for the same organization"
        taken = Counter(self.sitting.values())
        for organization, candidates in self.waiting.values():
            free = [backend for backend in candidates if taken[backend] < self.limit]
            assert not free, f"{organization} waits while a seat is free"

    def _forget_unless_waiting(self, organization: str) -> None:
        if all(organization != other for other, _ in self.waiting.values()):
            self.passed.pop(organization, None)


Move = tuple[str, str, tuple[str, ...], int]

organizations = st.sampled_from("abcd")
candidates = st.lists(st.sampled_from(BACKENDS), min_size=1, unique=True).map(tuple)
comings = st.tuples(st.just("come"), organizations, candidates, st.sampled_from((2, 2, 2, 1, 3)))
goings = st.tuples(st.just("go"), st.just(""), st.just(()), st.integers(0, 30))
looks = st.tuples(st.just("change"), st.just(""), candidates, st.integers(0, 30))
moves = st.lists(comings | comings | goings | goings | looks, max_size=80)


def play(discipline: Discipline, moves: list[Move]) -> list[tuple[int, str]]:
    """Who sat where, in the order in which they were told; at the end everybody goes."""
    witness, told = Witness(discipline), list[tuple[int, str]]()
    numbers = itertools.count(1)
    for move, organization, candidates, choice in moves:
        there = sorted([*witness.waiting, *witness.sitting])
        if move == "come":
            witness.come(next(numbers), organization, candidates, choice)
        elif move == "change":
            if may_look := sorted([*witness.waiting, *witness.unseen]):
                witness.change(may_look[choice % len(may_look)], candidates)
        elif there:
            witness.go(there[choice % len(there)])
        told += witness.sitting.items()
    for request in sorted([*witness.waiting, *witness.sitting]):
        witness.go(request)
    return told


@settings(max_examples=300, deadline=None)
@given(moves)
def test_nobody_who_waits_is_passed_over_twice_for_the_same_organization(moves: list[Move]) -> None:
    with in_tree() as shared:
        assert play(shared, moves) == play(InMemory(), moves)
