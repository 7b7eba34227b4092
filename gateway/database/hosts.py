"""Which gateways use this database? A row for each host, whose number rises as long as it lives."""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gateway.database.tables import HOSTS
from gateway.database.transactions import Transactions


class Host(NamedTuple):
    """A host as it was last heard of.

    Attributes:
        id: of its counters' life; hosts that share counters have one.
        name: for people.
        beat: another number each time; no clocks are compared.
    """

    id: str
    name: str
    beat: int


class Hosts:
    """The hosts' signs of life."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def beat(self, identity: str, name: str) -> list[Host]:
        """Say that this host lives; all the others that ever said so."""
        async with self._transactions.write() as connection:
            raised = sa.update(HOSTS).where(HOSTS.c.id == identity).values(beat=HOSTS.c.beat + 1, name=name)
            if not (await connection.execute(raised)).rowcount:
                await connection.execute(sa.insert(HOSTS).values(id=identity, name=name, beat=0))
            others = await connection.execute(sa.select(HOSTS).where(HOSTS.c.id != identity).order_by(HOSTS.c.name))
            return [Host(*row) for row in others]

    async def forget(self, identities: Sequence[str]) -> None:
        """Remove hosts that are heard of no more."""
        async with self._transactions.write() as connection:
            await connection.execute(sa.delete(HOSTS).where(HOSTS.c.id.in_(identities)))
