"""Which backends are drained here? What the database's list of drained servers means on this host."""

from collections.abc import Collection, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from gateway.backends.choices import BackendsShared
from gateway.backends.common import is_one_for_all, name_of_all

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)


class Placed(Protocol):
    """A backend, whoever describes it."""

    @property
    def name(self) -> str:
        """Its own."""
        ...

    @property
    def url(self) -> str:
        """Where it listens."""
        ...


class Listed(Protocol[Row_co]):
    """The database's backends (`database.named.Backends`)."""

    async def list(self, *, after: str = "", most: int = 100) -> Sequence[Row_co]:
        """A page, in the order of the names."""
        ...

    async def drained(self) -> frozenset[str]:
        """All servers in the list."""
        ...


class Drains:
    """The spelling of servers in the list.

    A server that is one for all hosts stands there by its URL, another by its name and its host's; by its name alone,
    where no other host has the database. A name alone means that backend on every host, as of earlier releases.

    Args:
        shared: which URLs mean one server.
        host: this host's name among those that have the database; empty: there is no other.
    """

    def __init__(self, shared: BackendsShared, host: str) -> None:
        self._shared = shared
        self._host = host

    def server_of(self, name: str, url: str) -> str:
        """How the backend of that name and URL is spelled."""
        if not self._host:
            return name
        return name_of_all(url) if is_one_for_all(url, self._shared) else f"{name}@{self._host}"

    def drained(self, backends: Iterable[Placed], listed: Collection[str]) -> frozenset[str]:
        """The names of those that are in the list."""
        return frozenset(
            one.name for one in backends if one.name in listed or self.server_of(one.name, one.url) in listed
        )


class DrainedHere(Generic[Row]):
    """The database's backends as this host has them."""

    def __init__(self, listed: Listed[Row], drains: Drains) -> None:
        self.list = listed.list
        self._listed = listed.drained
        self._drains = drains

    async def drained(self, backends: Iterable[Placed]) -> frozenset[str]:
        """The names of those among these that are drained."""
        return self._drains.drained(backends, await self._listed())
