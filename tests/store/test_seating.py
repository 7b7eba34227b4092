"""What stands in the tree while requests wait for seats, step by step; what stores promise is in `test_seats.py`."""

from gateway.store import seating
from gateway.store.records import NUMBER, PAIR, Claimant
from gateway.store.seat_records import BACKLOG, BACKLOG_SHAPE, GIVEN, PLACE, ROTA, lengthed, parse_place, seats_key
from gateway.store.seating import Asked
from gateway.store.tally import read_line
from gateway.store.tree import Tree, records_under
from tests.store.examples import listed, rows, who, workers

GROUP, BACKEND = b"chat", b"chat0"


def shown(tree: Tree) -> list[str]:
    """The tree as the example in the module's docstring shows it."""
    line = read_line(tree, seats_key(GROUP, BACKEND))
    rota = [(NUMBER.unpack(key[-8:])[0], name.decode()) for key, name in records_under(tree, ROTA + lengthed(GROUP))]
    places = []
    for key, _ in records_under(tree, PLACE):
        _, organization, claimant = parse_place(key)
        number = NUMBER.unpack(key[-PAIR.size - NUMBER.size : -PAIR.size])[0]
        places.append(f"{organization.decode()} {number} {who(claimant)}")
    given = [who(Claimant(*PAIR.unpack(key[1:]))) for key, _ in records_under(tree, GIVEN)]
    backlog = tree.get(BACKLOG + GROUP)
    return [
        listed(*line[:2]) if line[0] else "-, -",
        workers(line),
        listed(*(f"{number} {name}" for number, name in rota)),
        listed(*places),
        listed(*given),
        listed(*BACKLOG_SHAPE.unpack(backlog)) if backlog else "-",
    ]


def test_the_example_in_the_docstring_is_so(tree: Tree) -> None:
    places: dict[Claimant, bytes] = {}
    for call, words, claimant, cells in rows(seating):
        if call == "enter":
            asked = Asked(GROUP, words[0].encode(), claimant, (BACKEND,))
            places[claimant] = seating.enter(tree, asked, 1, 10).place
        elif call == "look":
            assert seating.look(tree, places[claimant], (BACKEND,)) == (BACKEND, [])
        else:
            seating.leave(tree, GROUP, BACKEND, claimant.worker)
        assert shown(tree) == cells, (call, claimant)
    assert len(places) == 3
