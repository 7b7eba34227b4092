"""How does each backend look now? What describes it, what the board says of it, and whether it is drained."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.admin.errors import StaticError
from gateway.admin.live import Live
from gateway.admin.schemas.backends import Backend
from gateway.admin.schemas.common import moment
from gateway.backends.view import BackendStatus
from gateway.database.named import Backends
from gateway.database.rows import Backend as Row
from gateway.fleet.drains import DrainedHere
from gateway.upstream.address import Address


class Condition(NamedTuple):
    """What the board says of a backend; by default, of one that it has no line for."""

    state: str = "unknown"
    reason: str = "not_heard_of"
    circuit: str = "closed"
    in_flight: int = 0


API = "api"
UNHEARD_OF = Condition()


class Fleet:
    """The settings' backends and those of the database, as they are shown."""

    def __init__(self, live: Live, backends: Backends) -> None:
        self._live = live
        self._backends = DrainedHere(backends, live.drains)

    async def fixed(self) -> list[Backend]:
        """The settings' own."""
        rows = [
            (Row(name=one.name, model=group.name, url=one.url, weight=one.weight), source)
            for group, source in self._live.fixed()
            for one in group.backends
        ]
        return await self._shown(rows)

    async def kept(self, rows: Sequence[Row]) -> list[Backend]:
        """Those of the database."""
        return await self._shown([(row, "") for row in rows])

    async def _shown(self, rows: Sequence[tuple[Row, str]]) -> list[Backend]:
        """Rows with what rules each of them, empty for the admin API, as they are shown."""
        if not rows:
            return []
        drained = await self._backends.drained(row for row, _ in rows)
        seen = {status.backend.name: _condition(status) for status in self._live.backends()}
        return [
            Backend(
                id=row.name,
                model=row.model,
                url=row.url,
                weight=row.weight,
                active=row.active,
                drained=row.name in drained,
                source=source or API,
                static=bool(source),
                state=(condition := seen.get(row.name, UNHEARD_OF)).state,
                reason=condition.reason,
                circuit=condition.circuit,
                in_flight=condition.in_flight,
                created_at=None if source else moment(row.created),
            )
            for row, source in rows
        ]

    def source(self, name: str) -> str | None:
        """What describes the backend of that name, where it is the settings'."""
        known = ((one.name, source) for group, source in self._live.fixed() for one in group.backends)
        return next((source for found, source in known if found == name), None)

    def is_fixed_group(self, name: str) -> bool:
        """Whether the settings describe a group of that name."""
        return any(group.name == name for group, _ in self._live.fixed())

    def refuse_taken(self, name: str, url: str) -> None:
        """Refuse what the settings' backends have already, however the URL spells it.

        Raises:
            StaticError: the name or the address is theirs.
        """
        address = Address.parse(url)
        for group, source in self._live.fixed():
            for backend in group.backends:
                if name == backend.name:
                    raise StaticError(f"The backend `{name}` is set by {source}.", param="id")
                if address == Address.parse(backend.url):
                    raise StaticError(f"{url} is the backend `{backend.name}`, which is set by {source}.", param="url")


def _condition(status: BackendStatus) -> Condition:
    health = status.health
    return Condition(health.state.value, str(health.reason.value), status.circuit.standing.value, status.in_flight)
