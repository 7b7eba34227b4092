"""A struct whose attributes are stored plainly is cheaper to change, and is collected like any other."""

import dis
import gc
import weakref

from msgspec import Struct

from gateway.core.structs import stored_plainly

STORES = 200
"""More than CPython looks at before it specialises a store."""


class Owner:
    pass


@stored_plainly
class Made(Struct, eq=False):
    owner: Owner
    other: object = None


def put(made: Made) -> None:
    made.other = made


def test_its_stores_are_specialised() -> None:
    made = Made(Owner())
    for _ in range(STORES):
        put(made)
    made.other = None
    assert "STORE_ATTR_SLOT" in {step.opname for step in dis.get_instructions(put, adaptive=True)}


def test_a_ring_that_a_later_store_closes_is_collected() -> None:
    made = Made(Owner())
    owner = weakref.ref(made.owner)
    put(made)
    del made
    gc.collect()
    assert owner() is None
