"""Which models may be asked for? Every configured name and alias that the key allows, the OpenAI way."""

from gateway.api.fleet import FleetView, Models
from gateway.api.own_path import OwnPath
from gateway.api.schemas.own import Model, ModelList
from gateway.core.errors import ModelNotFoundError
from gateway.core.fleet import BackendGroup
from gateway.core.principal import MASTER, Principal
from gateway.routing.registry import may_use

MAX_SHOWN_NAME = 64
"""Characters of a made-up model name that an error message repeats."""


def models_paths(models: Models, fleet: FleetView, created: int) -> list[OwnPath]:
    """`/v1/models` and `/v1/models/{id}`; `created` is the gateway's start in seconds since 1970 UTC."""

    def card(name: str, group: BackendGroup) -> Model:
        root = hub_name(group)
        owner, slash, _ = root.partition("/")
        return Model(
            id=name,
            created=created,
            owned_by=owner if slash else "vllm",
            root=root,
            max_model_len=fleet.max_model_len(group),
        )

    def names_for(principal: Principal) -> dict[str, BackendGroup]:
        allowed = (group for group in models.groups if may_use(group, principal.models))
        return {name: group for group in allowed for name in group.model_names}

    def list_for(principal: Principal) -> ModelList:
        return ModelList(data=[card(name, group) for name, group in names_for(principal).items()])

    def retrieve_for(principal: Principal, model_id: str) -> Model:
        known = names_for(principal)
        group = known.get(model_id)
        if group is None:
            shown = model_id if len(model_id) <= MAX_SHOWN_NAME else f"{model_id[:MAX_SHOWN_NAME]}..."
            names = ", ".join(f"`{name}`" for name in sorted(known)) or "none"
            raise ModelNotFoundError(f"The model `{shown}` does not exist. Known models: {names}.", param="model")
        return card(model_id, group)

    # What follows is read by the documentation, which describes them for a key that allows all.

    def list_models() -> ModelList:
        """Every configured model and alias that the key allows, whether or not its backends are up."""
        return list_for(MASTER)

    def retrieve_model(model_id: str) -> Model:
        """One model; its slash may be written plainly or as %2F."""
        return retrieve_for(MASTER, model_id)

    return [
        OwnPath("/v1/models", "Models", list_models, sparse=True, answer_to=list_for),
        OwnPath("/v1/models/{model_id:path}", "Models", retrieve_model, sparse=True, answer_to=retrieve_for),
    ]


def hub_name(group: BackendGroup) -> str:
    """The first of a group's names that says `owner/model`, as vLLM's own `root` does; else what its backends call it.

    A backend may serve its model under a short name alone, as the chat servers do: the same model then stands among the
    names for clients.
    """
    return next((name for name in group.model_names if "/" in name), group.model)
