"""What is the registry's blob now? The database's rows and what was published before, asked by whoever publishes."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from gateway.backends.roster import Roster
from gateway.core.clock import Clock
from gateway.fleet.drains import Placed
from gateway.fleet.edition import BackendRow, ModelRow, Rows, compose

PAGE = 500
Row_co = TypeVar("Row_co", covariant=True)
AnyRow = TypeVar("AnyRow")


class Listed(Protocol[Row_co]):
    """A repository of rows by name (`database.named.Named`)."""

    async def list(self, *, after: str = "", most: int = 100) -> Sequence[Row_co]:
        """A page, in the order of the names."""
        ...


class ListedBackends(Listed[BackendRow], Protocol):
    """Backends, and those of this host that are drained (`drains.DrainedHere`)."""

    async def drained(self, backends: Iterable[Placed]) -> frozenset[str]:
        """The names of those among these."""
        ...


class Register:
    """Reads the models, as `bookkeeping.publishing` asks for them; it remembers what it gave last.

    Args:
        static: the fleet that the settings describe (`static_roster`).
        models: the database's.
        backends: likewise.
        clock: for how long columns rest.
        rest_secs: MAX_REQUEST_SECS.
        published: gives the blob that an earlier process published (`Catalog.models`), asked once, before anything is
            published: running requests count in the columns that it names.
    """

    def __init__(
        self,
        static: Roster,
        models: Listed[ModelRow],
        backends: ListedBackends,
        clock: Clock,
        *,
        rest_secs: float,
        published: Callable[[], bytes] = bytes,
    ) -> None:
        self._static = static
        self._models = models
        self._backends = backends
        self._clock = clock
        self._rest_secs = rest_secs
        self._published = published
        self._last: bytes | None = None

    async def __call__(self) -> bytes:
        """The blob to publish."""
        before = self._published() if self._last is None else self._last
        backends = [row async for row in _all(self._backends, lambda row: row.name)]
        known: list[Placed] = [*(backend for _, backend in self._static.backends()), *backends]
        rows = Rows(
            [row async for row in _all(self._models, lambda row: row.alias)],
            backends,
            await self._backends.drained(known),
        )
        now = self._clock.monotonic()
        self._last = compose(self._static, rows, before=before, now=now, rest_secs=self._rest_secs)
        return self._last


async def _all(listed: Listed[AnyRow], name: Callable[[AnyRow], str]) -> AsyncIterator[AnyRow]:
    after = ""
    while rows := await listed.list(after=after, most=PAGE):
        for row in rows:
            yield row
        after = name(rows[-1])
