"""Would it be served? What the workers would leave out of a fleet is refused before it is kept."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.admin.asking import House
from gateway.backends.roster import Roster
from gateway.core.errors import BadRequestError
from gateway.database.errors import ConflictError
from gateway.database.named import Named
from gateway.database.rows import Backend, Model
from gateway.fleet.edition import Rows
from gateway.fleet.merge import objections

PAGE = 500
Row = TypeVar("Row", Model, Backend)


class Fit:
    """Compares the fleet as it would be with the fleet as it is.

    Two changes at once may each fit alone, and not together: the workers then leave one of them out, and say so.
    """

    def __init__(self, house: House) -> None:
        self._database = house.database
        self._live = house.live

    async def refuse_unfit(self, change: Model | Backend) -> None:
        """Refuse a row that would not be served, or would take something from another.

        Raises:
            BadRequestError: with the reason that the workers' log would have.
        """
        models, backends = await self._rows()
        if isinstance(change, Model):
            after = ([row for row in models if row.alias != change.alias] + [change], backends)
        else:
            after = (models, [row for row in backends if row.name != change.name] + [change])
        if why := self._new_objection((models, backends), after):
            raise BadRequestError(f"This could not be served: {why}.")

    async def refuse_served(self, name: str) -> None:
        """Refuse to remove a model that has backends, active or not.

        Raises:
            ConflictError: it has; they are named.
        """
        _, backends = await self._rows()
        if served := [row.name for row in backends if row.model == name]:
            raise ConflictError(f"The model has backends: {', '.join(served)}. Delete them first.")

    def _new_objection(
        self,
        before: tuple[Sequence[Model], Sequence[Backend]],
        after: tuple[Sequence[Model], Sequence[Backend]],
    ) -> str | None:
        static = Roster(tuple(one.group for one in self._live.fixed()))
        known = objections(static, Rows(*before))
        return next((one for one in objections(static, Rows(*after)) if one not in known), None)

    async def _rows(self) -> tuple[list[Model], list[Backend]]:
        models = await _all(self._database.models, lambda row: row.alias)
        return models, await _all(self._database.backends, lambda row: row.name)


async def _all(named: Named[Row], name: Callable[[Row], str]) -> list[Row]:
    found: list[Row] = []
    while rows := await named.list(after=name(found[-1]) if found else "", most=PAGE):
        found += rows
    return found
