"""How does a model look to an operator?"""

from typing import Any, Literal

from pydantic import Field, JsonValue

from gateway.admin.names import ModelName
from gateway.admin.schemas.common import Moment, Taken, Text, moment
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import BackendGroup
from gateway.database.rows import Model as Row
from gateway.routing.choices import Balancing

MAX_PREFIX = 32_768
MAX_ALIASES = 50


class ModelOptions(Taken):
    """How requests for a model are treated; what is absent is as for the settings' own models."""

    aliases: list[ModelName] = Field(default=[], max_length=MAX_ALIASES, description="Further names to ask for.")
    default_parameters: dict[str, JsonValue] = Field(
        default={}, max_length=50, description="Fields of a request that it has where the client stated none."
    )
    forced_parameters: dict[str, JsonValue] = Field(
        default={}, max_length=50, description="Fields that it has whatever the client stated."
    )
    system_prompt_prefix: str = Field(default="", max_length=MAX_PREFIX, description="Before the first message.")
    reasoning: dict[str, JsonValue] = Field(default={}, max_length=50, description="How the model is to think.")
    tool_call_parser: Text | None = Field(
        default=None, description="vLLM's name of it; null: that of the model's family; empty: it calls no tools."
    )
    schedules_by_priority: bool = Field(
        default=False,
        strict=True,
        description="Its backends run with `--scheduling-policy priority`: each request tells them its key's priority, "
        "whatever the client states.",
    )
    fallback: ModelName | None = Field(default=None, description="The model that answers while this one cannot.")
    policy: Balancing | None = Field(default=None, description="How its backends take turns.")

    def kept(self) -> dict[str, Any]:
        """What was stated, as the fields of a `core.model_card.ModelCard`, which have these names."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)


class ModelWishes(Taken):
    """What may be changed about a model; a change leaves what it does not state as it is."""

    model: ModelName = Field(default="", validate_default=False, description="Its name at the backends.")
    settings: ModelOptions = Field(default=ModelOptions(), description="Taken whole, as it is stated.")

    def stated(self) -> dict[str, Any]:
        """The row's fields that were stated."""
        fields: dict[str, Any] = {}
        if "model" in self.model_fields_set:
            fields["model"] = self.model
        if "settings" in self.model_fields_set:
            fields["settings"] = self.settings.kept()
        return fields


class NewModel(Taken):
    """A model beside those of the settings."""

    id: ModelName = Field(description="The name that clients ask for.")
    kind: ModelKind
    model: ModelName = Field(description="Its name at the backends.")
    settings: ModelOptions = Field(default=ModelOptions())


class Model(Taken):
    """A model, of the settings or made here."""

    object: Literal["model"] = "model"
    id: str
    kind: ModelKind
    model: str
    settings: dict[str, JsonValue]
    source: str = Field(description="`api`, or the settings that describe it: only they can change it then.")
    static: bool = Field(description="Whether the admin API cannot change it.")
    created_at: Moment | None


def shown(row: Row) -> Model:
    """A model that was made here, as it is shown."""
    return Model(
        id=row.alias,
        kind=ModelKind(row.kind),
        model=row.model,
        settings=row.settings,
        source="api",
        static=False,
        created_at=moment(row.created),
    )


def shown_fixed(group: BackendGroup, source: str) -> Model:
    """A model of the settings, as it is shown: under its group's name."""
    settings: dict[str, JsonValue] = {"aliases": list(group.aliases)}
    if group.fallback:
        settings["fallback"] = group.fallback
    return Model(
        id=group.name,
        kind=group.kind,
        model=group.model,
        settings=settings,
        source=source,
        static=True,
        created_at=None,
    )
