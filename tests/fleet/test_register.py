"""The blob that is published next is made from the database's rows and from the one before."""

from collections.abc import Iterable

import pytest

from gateway.database.rows import Backend, Model
from gateway.fleet.drains import Placed
from gateway.fleet.edition import read_edition
from gateway.fleet.merge import merge
from gateway.fleet.register import PAGE, Register
from tests.core.hand_time import HandTime
from tests.fleet.test_merge import CODER, CODER0, STATIC

pytestmark = pytest.mark.anyio


class Models:
    def __init__(self, *rows: Model) -> None:
        self.rows = sorted(rows, key=lambda row: row.alias)

    async def list(self, *, after: str = "", most: int = 100) -> list[Model]:
        return [row for row in self.rows if row.alias > after][:most]


class Backends:
    def __init__(self, *rows: Backend) -> None:
        self.rows = sorted(rows, key=lambda row: row.name)

    async def list(self, *, after: str = "", most: int = 100) -> list[Backend]:
        return [row for row in self.rows if row.name > after][:most]

    async def drained(self, backends: Iterable[Placed]) -> frozenset[str]:
        return frozenset(one.name for one in backends if one.name in {"chat0", "coder0"})


async def test_all_pages_are_read_and_columns_are_remembered() -> None:
    many = [Model(alias=f"m{number:04}", kind="chat", model="x") for number in range(PAGE + 1)]
    models, backends = Models(CODER, *many), Backends(CODER0, Backend(name="a", model="coder", url="http://a:1"))
    register = Register(STATIC, models, backends, HandTime(), rest_secs=60)
    first = read_edition(await register())
    assert len(first.models) == PAGE + 2
    assert first.drained == {"chat0", "coder0"}
    del backends.rows[0]
    second = read_edition(await register())
    assert {place.name: place.column for place in second.places} == {place.name: place.column for place in first.places}
    assert [place.name for place in second.places if place.until] == ["a"]
    coder = merge(STATIC, second).roster.groups[-1]
    assert [backend.name for backend in coder.backends] == ["coder0"]


async def test_a_new_process_begins_with_what_the_last_one_published() -> None:
    both = Backends(CODER0, Backend(name="a", model="coder", url="http://a:1"))
    published = await Register(STATIC, Models(CODER), both, HandTime(), rest_secs=60)()
    one = Backends(CODER0)
    again = Register(STATIC, Models(CODER), one, HandTime(), rest_secs=60, published=lambda: published)
    (place,) = (place for place in read_edition(await again()).places if not place.until)
    assert place in read_edition(published).places
