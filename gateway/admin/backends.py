"""Which backends are there, how do they fare, and which are to get nothing new?"""

from functools import partial

from fastapi import APIRouter, Response, status
from msgspec.structs import replace

from gateway.admin.asking import Actor, House
from gateway.admin.errors import StaticError
from gateway.admin.fit import Fit
from gateway.admin.fleet import Fleet
from gateway.admin.names import BackendName
from gateway.admin.paging import After, Limit, Page, behind, page_of
from gateway.admin.schemas.backends import Backend, BackendWishes, NewBackend
from gateway.admin.versions import IfMatch, state_version, unchanged
from gateway.core.errors import BadRequestError
from gateway.database.errors import NoSuchRecordError
from gateway.database.rows import Backend as Row

PREFIX = "/admin/v1/backends"


class BackendRoutes:
    """`/admin/v1/backends`."""

    def __init__(self, house: House, fleet: Fleet) -> None:
        self._backends = house.database.backends
        self._models = house.database.models
        self._server_of = house.live.drains.server_of
        self._fleet = fleet
        self._fit = Fit(house)

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix=PREFIX, tags=["Backends"])
        router.add_api_route("", self.create_backend, methods=["POST"], status_code=status.HTTP_201_CREATED)
        router.add_api_route("", self.list_backends, methods=["GET"])
        router.add_api_route("/{backend_id}", self.read_backend, methods=["GET"])
        router.add_api_route("/{backend_id}", self.update_backend, methods=["PATCH"])
        router.add_api_route(
            "/{backend_id}", self.delete_backend, methods=["DELETE"], status_code=status.HTTP_204_NO_CONTENT
        )
        router.add_api_route("/{backend_id}/drain", self.drain_backend, methods=["POST"])
        router.add_api_route("/{backend_id}/undrain", self.undrain_backend, methods=["POST"])
        return router

    async def create_backend(self, wishes: NewBackend, actor: Actor, response: Response) -> Backend:
        """Put a server behind a model; it is asked as soon as a probe finds it well."""
        self._fleet.refuse_taken(wishes.id, wishes.url)
        if not self._fleet.is_fixed_group(wishes.model):
            try:
                await self._models.get(wishes.model)
            except NoSuchRecordError:
                raise BadRequestError(f"model: there is no model `{wishes.model}`.", param="model") from None
        row = Row(name=wishes.id, model=wishes.model, url=wishes.url, weight=wishes.weight, active=wishes.active)
        await self._fit.refuse_unfit(row)
        made = await self._backends.create(row, actor=actor)
        response.headers["location"] = f"{PREFIX}/{made.name}"
        return await self._shown(made, response)

    async def list_backends(self, limit: Limit = 100, after: After = "") -> Page[Backend]:
        """All backends: the settings' own, then those that were made here, by name."""
        fixed, last = behind(await self._fleet.fixed(), after, _id)
        kept = await self._fleet.kept(await self._backends.list(after=last, most=limit + 1))
        return page_of([*fixed, *kept], limit, _itself, _id)

    async def read_backend(self, backend_id: BackendName, response: Response) -> Backend:
        """One backend."""
        for backend in await self._fleet.fixed():
            if backend.id == backend_id:
                return backend
        return await self._shown(await self._backends.get(backend_id), response)

    async def update_backend(
        self,
        backend_id: BackendName,
        wishes: BackendWishes,
        actor: Actor,
        response: Response,
        if_match: IfMatch = None,
    ) -> Backend:
        """Change what is stated, and nothing else; running requests go on where they are."""
        self._refuse_fixed(backend_id)
        async with unchanged(partial(self._backends.get, backend_id), if_match) as before:
            after = replace(before, **wishes.model_dump(exclude_unset=True))
            if after.url != before.url:
                self._fleet.refuse_taken(backend_id, after.url)
            if after != before:
                await self._fit.refuse_unfit(after)
                after = await self._backends.update(after, before.version, actor=actor)
            return await self._shown(after, response)

    async def delete_backend(self, backend_id: BackendName, actor: Actor, if_match: IfMatch = None) -> None:
        """Ask it nothing more, and forget it; drain it first if its requests are to end."""
        self._refuse_fixed(backend_id)
        async with unchanged(partial(self._backends.get, backend_id), if_match) as before:
            await self._backends.delete(backend_id, before.version, actor=actor)

    async def drain_backend(self, backend_id: BackendName, actor: Actor, response: Response) -> Backend:
        """Send it nothing new; what runs there goes on. It is empty when `in_flight` is 0.

        Other hosts with this database do so, too, if it is one server for all of them (BACKENDS_SHARED).
        """
        backend = await self.read_backend(backend_id, response)
        await self._backends.drain(backend_id, self._server_of(backend_id, backend.url), actor=actor)
        return await self.read_backend(backend_id, response)

    async def undrain_backend(self, backend_id: BackendName, actor: Actor, response: Response) -> Backend:
        """Use it again. To repeat it does nothing."""
        backend = await self.read_backend(backend_id, response)
        await self._backends.undrain(backend_id, self._server_of(backend_id, backend.url), actor=actor)
        return await self.read_backend(backend_id, response)

    def _refuse_fixed(self, backend_id: str) -> None:
        if source := self._fleet.source(backend_id):
            raise StaticError(
                f"The backend `{backend_id}` is set by {source}: change it there. Drain and undrain work."
            )

    async def _shown(self, row: Row, response: Response) -> Backend:
        state_version(response, row)
        (backend,) = await self._fleet.kept([row])
        return backend


def _id(backend: Backend) -> str:
    return backend.id


def _itself(backend: Backend) -> Backend:
    return backend
