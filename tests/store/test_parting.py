"""A worker that is gone is struck from everything, step by step, with all that it had and was about to have."""

import itertools

import pytest

from gateway.store import seating, slots
from gateway.store.parting import FIRST_PLACE, part
from gateway.store.protocol import GroupCounts
from gateway.store.records import TICKET, Claimant
from gateway.store.seat_records import AFTER_SEATS, BACKLOG, GIVEN
from gateway.store.tree import Tree, records_between
from tests.store.test_slots import DEAD, LIVING, NAME, enter, figures

BACKENDS = (b"0", b"1")


def sit(tree: Tree, worker: int, token: int, *, group: bytes = b"chat", organization: bytes = b"a") -> bytes:
    """Come for one of two seats at each of two backends: the place of one who waits."""
    asked = seating.Asked(group, organization, Claimant(worker, token), BACKENDS)
    return seating.enter(tree, asked, 2, 1000).place


def clear(tree: Tree, worker: int, most: int) -> tuple[list[Claimant], int]:
    """Who was called while a worker was cleared away, and in how many steps."""
    place: bytes | None = FIRST_PLACE
    called: list[Claimant] = []
    for step in itertools.count(1):
        assert place is not None
        place, some = part(tree, worker, place, most)
        called += some
        if place is None:
            return called, step
    raise AssertionError


@pytest.mark.parametrize("most", [2, 7, 1000])
def test_a_gone_worker_is_struck_from_every_line_and_queue(tree: Tree, most: int) -> None:
    names = [b"organization-%d" % number for number in range(20)]
    for name in names:
        for token, worker in enumerate((DEAD, LIVING, DEAD, LIVING, LIVING)):
            enter(tree, worker, token, name=name)
    called, steps = clear(tree, DEAD, most)
    assert called == [Claimant(LIVING, 3)] * len(names)
    assert figures(tree) == dict.fromkeys(names, (2, 1))
    assert steps > 80 / most
    for name in names:
        for _ in range(3):
            slots.leave(tree, name, LIVING)
    assert figures(tree) == {}
    assert not list(records_between(tree, TICKET, b"z"))


def test_a_ticket_of_a_gone_worker_that_is_called_between_two_steps_is_given_up_too(tree: Tree) -> None:
    enter(tree, LIVING, 1, limit=1)
    for token in range(4):
        enter(tree, DEAD, token, limit=1)
    place, _ = part(tree, DEAD, FIRST_PLACE, 2)
    assert slots.leave(tree, NAME, LIVING) == [Claimant(DEAD, 2)]
    while place is not None:
        place, _ = part(tree, DEAD, place, 2)
    assert figures(tree) == {}


def test_a_worker_whose_number_is_anothers_count_is_not_mistaken_for_it(tree: Tree) -> None:
    for token in range(DEAD):
        enter(tree, LIVING, token, limit=9)
    slots.leave(tree, NAME, DEAD)
    assert clear(tree, DEAD, 10) == ([], 1)
    assert figures(tree) == {NAME: (DEAD, 0)}


@pytest.mark.parametrize("most", [2, 7, 1000])
def test_a_gone_worker_is_struck_from_all_seats_and_the_queues_for_them(tree: Tree, most: int) -> None:
    groups = [b"group-%d" % number for number in range(10)]
    for group in groups:
        for token, worker in enumerate((DEAD, LIVING, DEAD, LIVING, LIVING, DEAD, LIVING, LIVING)):
            sit(tree, worker, token, group=group, organization=b"%d" % (token % 3))
    called, _ = clear(tree, DEAD, most)
    assert called == [Claimant(LIVING, 4), Claimant(LIVING, 6)] * len(groups)
    assert seating.count_seats(tree) == tuple(GroupCounts(group.decode(), 1, {"0": 2, "1": 2}) for group in groups)


@pytest.mark.parametrize("most", [1, 1000])
def test_a_seat_given_to_a_worker_that_is_gone_is_given_again(tree: Tree, most: int) -> None:
    for token in range(4):
        sit(tree, LIVING, token)
    sit(tree, DEAD, 4)
    sit(tree, LIVING, 5, organization=b"b")
    assert seating.leave(tree, b"chat", b"0", LIVING) == [Claimant(DEAD, 4)]
    assert any(key.startswith(GIVEN) for key, _ in records_between(tree, GIVEN, AFTER_SEATS))
    assert clear(tree, DEAD, most)[0] == [Claimant(LIVING, 5)]
    assert seating.count_seats(tree) == (GroupCounts("chat", 0, {"0": 2, "1": 2}),)


def test_a_place_of_a_gone_worker_that_is_given_a_seat_between_two_steps_is_given_up_too(tree: Tree) -> None:
    for token in range(4):
        sit(tree, LIVING, token)
    for token in range(4, 8):
        sit(tree, DEAD, token)
    place, _ = part(tree, DEAD, FIRST_PLACE, 2)
    assert seating.leave(tree, b"chat", b"1", LIVING) == [Claimant(DEAD, 6)]
    while place is not None:
        place, _ = part(tree, DEAD, place, 2)
    assert seating.count_seats(tree) == (GroupCounts("chat", 0, {"0": 2, "1": 1}),)
    for backend in (b"0", b"0", b"1"):
        seating.leave(tree, b"chat", backend, LIVING)
    assert not list(records_between(tree, BACKLOG, AFTER_SEATS))


def test_what_was_given_to_the_living_stays_theirs(tree: Tree) -> None:
    for token in range(4):
        sit(tree, DEAD, token)
    place = sit(tree, LIVING, 4)
    assert seating.leave(tree, b"chat", b"0", DEAD) == [Claimant(LIVING, 4)]
    clear(tree, DEAD, 1000)
    assert seating.accept(tree, place) == b"0"


def test_a_worker_that_has_left_all_its_seats_leaves_none_of_anothers(tree: Tree) -> None:
    for token, worker in enumerate((DEAD, DEAD, LIVING, LIVING)):
        sit(tree, worker, token)
    for _ in range(2):
        seating.leave(tree, b"chat", b"0", DEAD)
    assert seating.count_seats(tree) == (GroupCounts("chat", 0, {"0": 1, "1": 2}),)


def test_nobody_leaves_a_seat_that_its_worker_has_not(tree: Tree) -> None:
    sit(tree, LIVING, 1)
    assert seating.leave(tree, b"chat", b"0", DEAD) == []
    assert seating.leave(tree, b"chat", b"1", LIVING) == []
    assert seating.count_seats(tree) == (GroupCounts("chat", 0, {"0": 1}),)


def test_longer_and_shorter_names_are_strangers(tree: Tree) -> None:
    for number, (group, organization) in enumerate([(b"a", b"ab"), (b"a", b"a"), (b"aa", b"b"), (b"", b"aab")]):
        for token in range(6):
            sit(tree, LIVING, 10 * number + token, group=group, organization=organization)
    each = {counts.group: (counts.queued, counts.taken) for counts in seating.count_seats(tree)}
    assert each == {"a": (8, {"0": 2, "1": 2}), "aa": (2, {"0": 2, "1": 2}), "": (2, {"0": 2, "1": 2})}
    assert seating.leave(tree, b"a", b"0", LIVING) == [Claimant(LIVING, 4)]
