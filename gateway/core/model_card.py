"""What may be said of a model? Its card: how it is called, how requests for it are shaped, and who serves it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.core.endpoint import ModelKind

FLAT: Final = ("chat", "text2sql", "embed", "rerank")
"""The groups that flat settings describe (CHAT_MODEL, ...); a card adds what those cannot say."""


class BackendCard(Struct, frozen=True, kw_only=True):
    """A backend of a model.

    Attributes:
        name: unique among all backends.
        url: where it listens.
        model: the group or the name for clients that it serves; empty on a card of a model that lists it.
        weight: its share of the turns, where the policy weighs; 1 to 100.
        active: False: it is kept, and neither asked nor probed.
    """

    name: str
    url: str
    model: str = ""
    weight: int = 1
    active: bool = True


class ModelCard(Struct, frozen=True, kw_only=True):
    """A model, as YAML and the admin API describe it; the same names in both.

    Attributes:
        name: the group's word in logs and metrics, and a name for clients.
        kind: what it can do.
        model: its name at the backends; empty: `name`.
        aliases: further names for clients. The name at the backends is one only if it stands here or is `name`, so
            that two models may be one at their backends.
        backends: who serves it.
        fallback: the model that answers in its stead; empty for none.
        policy: how its backends take turns; None: as BALANCING_POLICY says.
        default_parameters: members that a request's body has where the client stated none, or null.
        forced_parameters: members that it has whatever the client stated.
        system_prompt_prefix: stands before the client's own system prompt.
        reasoning: `reasoning_effort` and `chat_template_kwargs`, where the client states none.
        tool_call_parser: vLLM's name of it; None: that of the model's family; empty: it has none.
        schedules_by_priority: its backends run with `--scheduling-policy priority`, and are told each key's.
    """

    name: str
    kind: ModelKind = ModelKind.CHAT
    model: str = ""
    aliases: tuple[str, ...] = ()
    backends: tuple[BackendCard, ...] = ()
    fallback: str = ""
    policy: str | None = None
    default_parameters: dict[str, Any] = {}
    forced_parameters: dict[str, Any] = {}
    system_prompt_prefix: str = ""
    reasoning: dict[str, Any] = {}
    tool_call_parser: str | None = None
    schedules_by_priority: bool = False

    @property
    def shapes(self) -> bool:
        """Whether it changes anything about requests."""
        said = (self.default_parameters, self.forced_parameters, self.system_prompt_prefix, self.reasoning)
        return any(said) or self.schedules_by_priority


CALLS_TOOLS: Final = ("chat", "text2sql")
"""The flat groups whose models may call tools."""
FLAT_SETTINGS: Final = {
    "kind": "",
    "model": "_MODEL",
    "aliases": "_ALIASES",
    "backends": "_BACKEND",
    "fallback": "_FALLBACK",
    "tool_call_parser": "_TOOL_PARSER",
}
"""What a card of a flat group must not say, and how the name of the setting ends that does; `kind` follows from it."""


def read_cards(value: object) -> tuple[ModelCard, ...]:
    """Cards from YAML's `models:` section: an object of each by the model's name.

    Raises:
        ValueError: with one sentence, that lists the known keys where there is an unknown one.
    """
    if not isinstance(value, Mapping):
        raise ValueError("models must be an object with a member for each model")  # noqa: TRY004 -- pydantic's way
    return tuple(read_card(str(name), card) for name, card in value.items())


def read_card(name: str, value: object) -> ModelCard:
    """One card.

    Args:
        name: the model's.
        value: the rest, as YAML or JSON gives it.

    Raises:
        ValueError: as `read_cards`.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"models.{name} must be an object")  # noqa: TRY004 -- pydantic's way
    _refuse_unknown(f"models.{name}", value, ModelCard)
    backends = value.get("backends")
    for backend in backends if isinstance(backends, list) else ():
        if isinstance(backend, Mapping):
            _refuse_unknown(f"models.{name}.backends", backend, BackendCard)
    if name in FLAT:
        for key in FLAT_SETTINGS.keys() & value.keys():
            raise ValueError(f"models.{name}.{key} is for further models: {_flat_setting(name, key)}")
    try:
        return msgspec.convert({**value, "name": name}, ModelCard)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        raise ValueError(f"models.{name}{place.strip('`')}: {reason[:1].lower()}{reason[1:]}") from None


def _flat_setting(name: str, key: str) -> str:
    ending = FLAT_SETTINGS[key]
    if not ending:
        return f"what {name} can do is fixed"
    if key == "tool_call_parser" and name not in CALLS_TOOLS:
        return f"{name} calls no tools"
    return f"set {name.upper()}{'_BACKENDS' if (name, key) == ('chat', 'backends') else ending}"


def _refuse_unknown(place: str, value: Mapping[Any, Any], card: type[Struct]) -> None:
    known = [field for field in card.__struct_fields__ if field != "model" or card is ModelCard]
    if card is ModelCard:
        known.remove("name")
    for key in value:
        if key not in known:
            raise ValueError(f"{place} has no member {key!r}: there are {', '.join(known)}")
