"""A line counts its workers' slots and gives them to whoever is next."""

from gateway.store import slots
from gateway.store.records import AFTER_TICKETS, LINE, NUMBER, PAIR, TICKET, Claimant, ticket_key, unpack_line
from gateway.store.slots import REFUSED, STARTED, STARTED_WITH_ROOM
from gateway.store.tally import ANYBODY
from gateway.store.tree import Tree, records_between
from tests.store.examples import listed, rows, who, workers

NAME = b"203.0.113.7"
LIVING, DEAD = 1, 2


def enter(tree: Tree, worker: int, token: int, limit: int = 2, *, name: bytes = NAME) -> int:
    return slots.enter(tree, name, Claimant(worker, token), limit, 1000)[0]


def figures(tree: Tree) -> dict[bytes, tuple[int, int]]:
    return {name: (in_flight, queued) for name, in_flight, queued in slots.lines(tree)}


def test_a_worker_gives_up_its_own_slots_and_no_others(tree: Tree) -> None:
    assert enter(tree, LIVING, 1) == STARTED_WITH_ROOM
    slots.leave(tree, NAME, DEAD)
    assert figures(tree) == {NAME: (1, 0)}
    assert enter(tree, DEAD, 1) == STARTED
    for _ in range(3):
        slots.leave(tree, NAME, DEAD)
    assert figures(tree) == {NAME: (1, 0)}
    slots.leave(tree, NAME, LIVING)
    assert figures(tree) == {}


def test_several_slots_are_given_up_at_once_and_no_more_than_there_are(tree: Tree) -> None:
    for token, worker in enumerate((LIVING, DEAD, LIVING, DEAD, DEAD)):
        enter(tree, worker, token, limit=5)
    enter(tree, LIVING, 5, name=b"another")
    tickets = [enter(tree, DEAD, token, limit=5) for token in (6, 7, 8)]
    assert tickets == [1, 2, 3]
    assert slots.leave_all(tree, LIVING, {NAME: 9, b"another": 1, b"nobody's": 1}) == [(DEAD, 6), (DEAD, 7)]
    assert figures(tree) == {NAME: (5, 1)}


def test_there_is_room_while_at_most_half_of_the_slots_are_taken(tree: Tree) -> None:
    entries = [enter(tree, LIVING, token, limit=5) for token in range(5)]
    assert entries == [STARTED_WITH_ROOM] * 2 + [STARTED] * 3


def test_a_kept_slot_may_be_taken_over_while_there_is_room_and_nobody_waits(tree: Tree) -> None:
    assert not slots.may_take_over(tree, NAME, 2)
    for token in (1, 2, 3):
        enter(tree, LIVING, token, limit=2)
    assert figures(tree) == {NAME: (2, 1)}
    assert not slots.may_take_over(tree, NAME, 4)  # the limit was raised: who waits goes first
    slots.leave(tree, NAME, LIVING)
    assert not slots.may_take_over(tree, NAME, 3)
    assert slots.may_take_over(tree, NAME, 4)


def test_the_first_to_wait_calls_the_other_workers_that_have_slots(tree: Tree) -> None:
    third, fourth = 3, 4
    for token, worker in enumerate((LIVING, DEAD, third, fourth)):
        enter(tree, worker, token, limit=4)
    slots.leave(tree, NAME, fourth)
    enter(tree, LIVING, 4, limit=4)
    assert not slots.somebody_waits(tree)
    assert slots.enter(tree, NAME, Claimant(LIVING, 5), 4, 2) == (1, [(DEAD, ANYBODY), (third, ANYBODY)])
    assert slots.enter(tree, NAME, Claimant(LIVING, 6), 4, 2) == (2, ())
    assert slots.enter(tree, NAME, Claimant(LIVING, 7), 4, 2) == (REFUSED, ())
    assert slots.somebody_waits(tree)


def test_a_refusal_leaves_no_line(tree: Tree) -> None:
    assert slots.enter(tree, NAME, Claimant(LIVING, 1), 0, 0) == (REFUSED, ())
    assert figures(tree) == {}


def test_a_ticket_that_is_gone_has_become_a_slot(tree: Tree) -> None:
    enter(tree, LIVING, 1, limit=1)
    tickets = [ticket_key(NAME, enter(tree, LIVING, token, limit=1)) for token in (2, 3)]
    assert slots.leave(tree, NAME, LIVING) == [Claimant(LIVING, 2)]
    assert slots.settle(tree, tickets[0])
    assert not slots.settle(tree, tickets[1])
    assert figures(tree) == {NAME: (1, 0)}


def test_whoever_withdraws_gives_up_what_its_ticket_has_become(tree: Tree) -> None:
    enter(tree, LIVING, 1, limit=1)
    tickets = [ticket_key(NAME, enter(tree, LIVING, token, limit=1)) for token in (2, 3, 4)]
    assert slots.withdraw(tree, tickets[1], LIVING) == ()
    assert figures(tree) == {NAME: (1, 2)}
    slots.leave(tree, NAME, LIVING)
    assert slots.withdraw(tree, tickets[0], LIVING) == [Claimant(LIVING, 4)]
    assert figures(tree) == {NAME: (1, 0)}


def shown(tree: Tree) -> list[str]:
    """The tree as the example in the module's docstring shows it."""
    tickets = list(records_between(tree, TICKET, AFTER_TICKETS))
    waiting = listed(*(f"{NUMBER.unpack(key[-8:])[0]} {who(Claimant(*PAIR.unpack(value)))}" for key, value in tickets))
    value = tree.get(LINE + NAME)
    if value is None:
        return [*"----", waiting]
    line = list(unpack_line(value))
    return [str(line[0]), str(line[1]), str(line[3]), workers(line), waiting]


def test_the_example_in_the_docstring_is_so(tree: Tree) -> None:
    tickets: dict[Claimant, bytes] = {}
    for call, _, claimant, cells in rows(slots):
        if call == "enter":
            number, called = slots.enter(tree, NAME, claimant, 1, 10)
            tickets[claimant] = ticket_key(NAME, number)
            assert not called
        elif call == "leave":
            called = slots.leave(tree, NAME, claimant.worker)
            assert called in ([Claimant(1, 12)], ())
        elif call == "settle":
            assert slots.settle(tree, tickets[claimant])
        else:
            assert slots.withdraw(tree, tickets[claimant], claimant.worker) == ()
        assert shown(tree) == cells, (call, claimant)
    assert len(tickets) == 3
