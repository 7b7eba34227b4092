"""Which models are there, of the settings and made here?"""

from functools import partial

from fastapi import APIRouter, Response, status
from msgspec.structs import replace

from gateway.admin.asking import Actor, House
from gateway.admin.errors import StaticError
from gateway.admin.fit import Fit
from gateway.admin.live import Fixed
from gateway.admin.names import ModelName
from gateway.admin.paging import After, Limit, Page, behind, page_of
from gateway.admin.schemas.models import Model, ModelWishes, NewModel, shown, shown_fixed
from gateway.admin.versions import IfMatch, state_version, unchanged
from gateway.database.rows import Model as Row

PREFIX = "/admin/v1/models"


class ModelRoutes:
    """`/admin/v1/models`."""

    def __init__(self, house: House) -> None:
        self._models = house.database.models
        self._fit = Fit(house)
        self._live = house.live

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix=PREFIX, tags=["Models"])
        router.add_api_route("", self.create_model, methods=["POST"], status_code=status.HTTP_201_CREATED)
        router.add_api_route("", self.list_models, methods=["GET"])
        router.add_api_route("/{model_id:path}", self.read_model, methods=["GET"])
        router.add_api_route("/{model_id:path}", self.update_model, methods=["PATCH"])
        router.add_api_route(
            "/{model_id:path}", self.delete_model, methods=["DELETE"], status_code=status.HTTP_204_NO_CONTENT
        )
        return router

    async def create_model(self, wishes: NewModel, actor: Actor, response: Response) -> Model:
        """Offer a model beside those of the settings; it is asked for as soon as it has a backend."""
        for name in (wishes.id, *wishes.settings.aliases):
            if taken := self._fixed_by_name(name):
                raise StaticError(
                    f"`{name}` is a name of {taken.group.name}, which is set by {taken.source}.", param="id"
                )
        row = Row(
            alias=wishes.id,
            kind=wishes.kind.value,
            model=wishes.model,
            settings=wishes.settings.kept(),
        )
        await self._fit.refuse_unfit(row)
        made = await self._models.create(row, actor=actor)
        response.headers["location"] = f"{PREFIX}/{made.alias}"
        return self._shown(made, response)

    async def list_models(self, limit: Limit = 100, after: After = "") -> Page[Model]:
        """All models: the settings' groups, then those that were made here, by name."""
        fixed, last = behind([shown_fixed(*one) for one in self._live.fixed()], after, _id)
        kept = [shown(row) for row in await self._models.list(after=last, most=limit + 1)]
        return page_of([*fixed, *kept], limit, _itself, _id)

    async def read_model(self, model_id: ModelName, response: Response) -> Model:
        """One model, by the name under which it is listed."""
        for group, source in self._live.fixed():
            if group.name == model_id:
                return shown_fixed(group, source)
        return self._shown(await self._models.get(model_id), response)

    async def update_model(
        self, model_id: ModelName, wishes: ModelWishes, actor: Actor, response: Response, if_match: IfMatch = None
    ) -> Model:
        """Change what is stated, and nothing else; running requests go on as they began."""
        self._refuse_fixed(model_id)
        async with unchanged(partial(self._models.get, model_id), if_match) as before:
            after = replace(before, **wishes.stated())
            if after != before:
                await self._fit.refuse_unfit(after)
                after = await self._models.update(after, before.version, actor=actor)
            return self._shown(after, response)

    async def delete_model(self, model_id: ModelName, actor: Actor, if_match: IfMatch = None) -> None:
        """Offer it no more. 409 while it has backends: delete them first."""
        self._refuse_fixed(model_id)
        async with unchanged(partial(self._models.get, model_id), if_match) as before:
            await self._fit.refuse_served(model_id)
            await self._models.delete(model_id, before.version, actor=actor)

    def _fixed_by_name(self, name: str) -> Fixed | None:
        known = (one for one in self._live.fixed() if name in {one.group.name, *one.group.model_names})
        return next(known, None)

    def _refuse_fixed(self, model_id: str) -> None:
        for group, source in self._live.fixed():
            if group.name == model_id:
                raise StaticError(f"The model `{model_id}` is set by {source}: change it there.")

    def _shown(self, row: Row, response: Response) -> Model:
        state_version(response, row)
        return shown(row)


def _id(model: Model) -> str:
    return model.id


def _itself(model: Model) -> Model:
    return model
