"""Whatever is asked, kept, landed, failed and left, in whatever order: bounds hold, and nobody gets another's answer.

The map is a real one; time is moved by hand.
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.cache import flights, kept
from gateway.cache.host import LoneHost
from gateway.cache.kept import Answer, Bounds
from gateway.cache.key import key_of
from gateway.cache.records import ENTRY, ORDER, WAITER, Claimant, Flight, Totals, read_entry, read_totals, waiting
from gateway.cache.records import flights as all_flights
from gateway.store.tree import Tree, records_under
from tests.cache.requests import planned

MEBIBYTE = 1024 * 1024
BOUNDS = Bounds(ttl=10.0, entries=6, size=60_000, answer=30_000)
FAILED = b"failed"

questions = st.tuples(st.sampled_from(("org:a", "org:b")), st.sampled_from((0, 1)), st.sampled_from((b"{}", b"[]")))
workers = st.sampled_from((101, 102, 103))
numbers = st.integers(0, 30)


class Answers(RuleBasedStateMachine):
    """What is kept, against a table of what was last kept under each organization, version and body."""

    @initialize()
    def open(self) -> None:
        self.host = LoneHost(MEBIBYTE)
        self.host.open(lambda _: None)
        self.now = 1000.0
        self.said: dict[tuple[str, int, bytes], tuple[Answer, float]] = {}
        self.held = 0

    def teardown(self) -> None:
        self.host.close()

    @rule(question=questions, length=st.integers(0, 35_000), fill=st.sampled_from((b"x", b"y", b"\n")))
    def keep(self, question: tuple[str, int, bytes], length: int, fill: bytes) -> None:
        answer = Answer(b"application/json", fill * length)
        change = self.host.decide(kept.keep, key(question), answer, BOUNDS, self.now)
        assert bool(change.added) is (length <= BOUNDS.answer)
        self.held += change.added - change.dropped
        if change.added:
            self.said[question] = answer, self.now + BOUNDS.ttl
            assert self.host.decide(kept.find, key(question), self.now) == answer

    @rule(question=questions)
    def find(self, question: tuple[str, int, bytes]) -> None:
        found = self.host.decide(kept.find, key(question), self.now)
        if found is not None:
            answer, expires = self.said[question]
            assert found == answer
            assert self.now < expires

    @rule(seconds=st.sampled_from((0.0, 1.0, 9.5, 10.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def clear(self) -> None:
        self.held -= self.host.decide(kept.clear).dropped
        assert self.held == 0

    @invariant()
    def bounds_hold(self) -> None:
        totals, sizes, order = self.host.decide(counted)
        assert totals.entries == len(sizes) == order <= BOUNDS.entries
        assert totals.size == sum(sizes) == self.held <= BOUNDS.size


class Flights(RuleBasedStateMachine):
    """Who leads and who waits: each that asked is a leader, waits for one, or was told; never two lead one key."""

    @initialize()
    def open(self) -> None:
        self.host = LoneHost(MEBIBYTE)
        self.host.open(lambda _: None)
        self.tokens = 0
        self.leaders: dict[bytes, Claimant] = {}
        self.places: dict[Claimant, tuple[bytes, bytes]] = {}

    def teardown(self) -> None:
        self.host.close()

    @rule(question=questions, worker=workers)
    def ask(self, question: tuple[str, int, bytes], worker: int) -> None:
        self.tokens += 1
        claimant = Claimant(worker, self.tokens)
        record = self.host.decide(flights.lead_or_wait, key(question), claimant)
        assert (record is None) is (key(question) not in self.leaders)
        if record is None:
            self.leaders[key(question)] = claimant
        else:
            self.places[claimant] = key(question), record

    @precondition(lambda self: self.leaders)
    @rule(number=numbers, verdict=st.sampled_from((b"", flights.ALONE)))
    def land(self, number: int, verdict: bytes) -> None:
        at, leader = self.some_leader(number)
        del self.leaders[at]
        called = self.host.decide(flights.land, at, leader, verdict)
        assert called == [claimant for claimant, (place, _) in self.places.items() if place == at]
        for claimant in called:
            _, record = self.places.pop(claimant)
            assert self.host.decide(flights.told, record) == (verdict or None)

    @precondition(lambda self: self.leaders)
    @rule(number=numbers)
    def fail(self, number: int) -> None:
        at, leader = self.some_leader(number)
        del self.leaders[at]
        self.look(at, self.host.decide(flights.fail, at, leader, FAILED))

    @precondition(lambda self: self.leaders)
    @rule(number=numbers)
    def desert(self, number: int) -> None:
        at, leader = self.some_leader(number)
        goes_on = self.host.decide(flights.desert, at, leader)
        assert goes_on is any(place == at for place, _ in self.places.values())
        if not goes_on:
            del self.leaders[at]

    @precondition(lambda self: self.places)
    @rule(number=numbers)
    def leave(self, number: int) -> None:
        claimant = list(self.places)[number % len(self.places)]
        at, record = self.places.pop(claimant)
        for leader in self.host.decide(flights.leave, at, record, claimant):
            assert self.leaders.pop(at) == leader
            assert not any(place == at for place, _ in self.places.values())

    @rule(worker=workers)
    def bury(self, worker: int) -> None:
        lost = [at for at, leader in self.leaders.items() if leader.worker == worker]
        self.places = {one: place for one, place in self.places.items() if one.worker != worker}
        called = self.host.decide(flights.bury, worker, FAILED)
        for at in lost:
            del self.leaders[at]
        for at in {*lost, *self.leaders}:
            self.look(at, called)

    def look(self, at: bytes, called: list[Claimant]) -> None:
        """What those who were called find: one leads, or all were told that it failed, or nobody is left."""
        mine = [claimant for claimant in called if self.places.get(claimant, (b"",))[0] == at]
        told = [claimant for claimant in mine if self.host.decide(flights.told, self.places[claimant][1])]
        leads = [claimant for claimant in mine if self.host.decide(flights.leads, at, claimant)]
        for claimant in told + leads:
            del self.places[claimant]
        if leads:
            assert (leads, told) == (mine, [])
            self.leaders[at] = leads[0]
        else:
            assert told == mine
            if at not in dict(self.host.decide(lambda tree: list(all_flights(tree)))):
                self.leaders.pop(at, None)

    def some_leader(self, number: int) -> tuple[bytes, Claimant]:
        return list(self.leaders.items())[number % len(self.leaders)]

    @invariant()
    def all_is_as_it_was_decided(self) -> None:
        found, waits = self.host.decide(seen)
        assert {at: Claimant(*flight[:2]) for at, flight in found.items()} == self.leaders
        assert {claimant: at for at, some in waits.items() for claimant in some} == {
            claimant: at for claimant, (at, _) in self.places.items()
        }
        assert all(waits.get(at) for at, flight in found.items() if flight.deserted), "it runs for nobody"
        assert set(waits) <= set(found), "they wait for nobody"


def key(question: tuple[str, int, bytes]) -> bytes:
    organization, version, body = question
    return key_of(planned(organization=organization, body=body), version)


def counted(tree: Tree) -> tuple[Totals, list[int], int]:
    entries = [key[len(ENTRY) :] for key, _ in records_under(tree, ENTRY)]
    sizes = [entry.size for at in entries if (entry := read_entry(tree, at)) is not None]
    return read_totals(tree), sizes, len(list(records_under(tree, ORDER)))


def seen(tree: Tree) -> tuple[dict[bytes, Flight], dict[bytes, list[Claimant]]]:
    keys = {record[len(WAITER) : len(WAITER) + 32] for record, _ in records_under(tree, WAITER)}
    waits = {at: [claimant for _, claimant in waiting(tree, at)] for at in keys}
    return dict(all_flights(tree)), {at: some for at, some in waits.items() if some}


TestAnswers = Answers.TestCase
TestFlights = Flights.TestCase
