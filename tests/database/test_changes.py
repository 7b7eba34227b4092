"""Tests of the number that publishers poll, on both databases."""

import asyncio

import pytest

from gateway.database.database import Database
from gateway.database.rows import Organization
from gateway.database.settings import DatabaseSettings

pytestmark = pytest.mark.anyio


async def test_every_kind_of_change_raises_the_number_by_one(database: Database) -> None:
    assert await database.changes.number() == 0
    await database.organizations.create(Organization(name="org:a"), actor="ann")
    assert await database.changes.number() == 1
    await database.backends.drain("chat0", "chat0", actor="ann")
    assert await database.changes.number() == 2
    await database.organizations.delete("org:a", 1, actor="ann")
    assert await database.changes.number() == 3


async def test_whoever_reads_up_to_a_number_has_missed_nothing_below_it(settings: DatabaseSettings) -> None:
    """Two gateways change things at once; a third reads on from the last number that it saw."""
    names = {f"org:{host}-{turn}" for host in range(2) for turn in range(20)}
    async with Database(settings) as one, Database(settings) as other, Database(settings) as publisher:

        async def change(database: Database, host: int) -> None:
            for turn in range(20):
                await database.organizations.create(Organization(name=f"org:{host}-{turn}"), actor="ann")

        seen: list[str] = []
        last = 0
        writers = asyncio.gather(change(one, 0), change(other, 1))
        while last < len(names):
            number = await publisher.changes.number()
            async for page in publisher.organizations.changed_since(last):
                seen += [row.name for row in page.rows]
            last = number
        await writers
    assert set(seen) == names
