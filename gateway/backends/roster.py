"""Which backends are there, and which model names does each group answer to? A fleet, as it is in force at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

from gateway.backends.choices import MAX_TURNS, NO_PARSER
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.core.model_card import FLAT, BackendCard, ModelCard
from gateway.core.tool_parsers import parser_of

if TYPE_CHECKING:
    from gateway.backends.settings import BackendSettings

_TEXT = frozenset({ModelKind.CHAT, ModelKind.TEXT2SQL})
_VECTORS = frozenset({ModelKind.EMBEDDING, ModelKind.RERANK})
ALIKE = {kind: kinds for kinds in (_TEXT, _VECTORS) for kind in kinds}
"""The kinds that have paths in common with a kind: only their groups may answer in its stead."""


@dataclass(frozen=True, slots=True)
class Roster:
    """All groups, the chat group first; never changed: another fleet is another roster.

    Raises:
        ValueError: two groups claim one model name, one URL is named in two groups, or a fallback cannot be one.
    """

    groups: tuple[BackendGroup, ...]

    def __post_init__(self) -> None:
        owners: dict[str, str] = {}
        for group in self.groups:
            for claim in (*group.model_names, *(backend.url for backend in group.backends)):
                other = owners.setdefault(claim, group.name)
                if other != group.name:
                    names = [_named_in(name) for name in (other, group.name)]
                    remedy = (
                        "a server serves one model, so give each group servers of its own"
                        if "://" in claim
                        else f"take it out of {names[0]}, or out of {names[1]}"
                    )
                    raise ValueError(f"{claim} is claimed by two groups, {other} and {group.name}: {remedy}")

        names = [backend.name for _, backend in self.backends()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two backends are named {twice[0]}: each name is a row of logs and metrics")

        for group in self.groups:
            if group.fallback:
                self._check_fallback(group)

    def _check_fallback(self, group: BackendGroup) -> None:
        name = group.fallback
        setting = f"{name_of_setting(group.name)}FALLBACK" if group.name in FLAT else f"models.{group.name}.fallback"
        if name == group.name:
            raise ValueError(f"{setting} is {name} itself: name another group, or none")
        known = {other.name: other for other in self.groups}
        fitting = [other.name for other in self.groups if other is not group and other.kind in ALIKE[group.kind]]
        choice = f"name {' or '.join(fitting)}, or none" if fitting else "leave it empty, as no other group could"
        if name not in known:
            raise ValueError(f"{setting} is {name}, which is no group with a backend: {choice}")
        if name not in fitting:
            raise ValueError(f"{setting} is {name}, whose model cannot do what {group.name} does: {choice}")

    def of_kind(self, kind: ModelKind) -> tuple[BackendGroup, ...]:
        """The groups whose model can do that."""
        return tuple(group for group in self.groups if group.kind is kind)

    def backends(self) -> Iterator[tuple[BackendGroup, Backend]]:
        """Every server with the group that it belongs to."""
        return ((group, backend) for group in self.groups for backend in group.backends)

    def placed(self) -> dict[int, Backend]:
        """The backends that have a column of their own on the board, by it."""
        return {backend.column: backend for _, backend in self.backends() if backend.column is not None}


def name_of_setting(group: str) -> str:
    """How the flat settings of a group begin."""
    return f"{group.upper()}_"


def _named_in(group: str) -> str:
    """Where the names of a group stand."""
    prefix = name_of_setting(group)
    return f"{prefix}MODEL or {prefix}ALIASES" if group in FLAT else f"models.{group}"


def build_roster(settings: "BackendSettings") -> Roster:
    """The fleet that the settings describe; a group without a URL does not exist.

    Raises:
        ValueError: two groups claim one model name or one URL, or a fallback cannot be one.
    """
    weights = settings.chat_weights or (1,) * len(settings.chat_backends)
    if len(weights) != len(settings.chat_backends):
        raise ValueError(
            f"CHAT_WEIGHTS has {len(weights)} shares for {len(settings.chat_backends)} CHAT_BACKENDS: "
            "give one for each, in the same order, or none"
        )
    chat = tuple(
        Backend(f"chat{index}", url, weight)
        for index, (url, weight) in enumerate(zip(settings.chat_backends, weights, strict=True))
    )
    rows = (
        ("chat", ModelKind.CHAT, chat),
        ("text2sql", ModelKind.TEXT2SQL, settings.text2sql_backend),
        ("embed", ModelKind.EMBEDDING, settings.embed_backend),
        ("rerank", ModelKind.RERANK, settings.rerank_backend),
    )
    cards = {card.name: card for card in settings.gateway_models}
    flat = [_group(settings, name, kind, at, cards.get(name)) for name, kind, at in rows if at]
    known = {group.name for group in flat}
    for name in FLAT:
        if name in cards and name not in known:
            raise ValueError(f"models.{name} describes a group without a backend: set {name.upper()}_BACKEND")
    return Roster((*flat, *(group_of(card, _backends_of(card)) for card in cards.values() if card.name not in FLAT)))


def group_of(card: ModelCard, backends: tuple[Backend, ...]) -> BackendGroup:
    """The group of a model that its card describes.

    Raises:
        ValueError: its backends' shares take too many turns to be kept.
    """
    turns = sum(backend.weight for backend in backends) // gcd(*(backend.weight for backend in backends))
    if turns > MAX_TURNS:
        raise ValueError(f"the weights of {card.name} are kept after {turns} turns, and {MAX_TURNS} are the most")
    names = (card.name, *card.aliases)
    return BackendGroup(
        card.name,
        card.kind,
        model=card.model or card.name,
        aliases=card.aliases,
        backends=backends,
        fallback=card.fallback,
        card=card,
        tool_parser=_parser(card, (card.model, *names)),
        policy=card.policy or "",
        names=tuple(dict.fromkeys(names)),
    )


def backend_of(card: BackendCard, *, column: int | None = None, drained: bool = False) -> Backend:
    """A backend as its card describes it."""
    return Backend(card.name, card.url.strip().rstrip("/"), card.weight, column, drained)


def _backends_of(card: ModelCard) -> tuple[Backend, ...]:
    if not card.backends:
        raise ValueError(f"models.{card.name} has no backends: give them a name and a url each")
    return tuple(backend_of(backend) for backend in card.backends)


def _parser(card: ModelCard, names: tuple[str, ...]) -> str:
    if card.kind not in _TEXT:
        return ""
    return parser_of(names) if card.tool_call_parser is None else card.tool_call_parser


def _group(
    settings: "BackendSettings", name: str, kind: ModelKind, at: str | tuple[Backend, ...], card: ModelCard | None
) -> BackendGroup:
    """A group from the settings that begin with its name; one URL is a backend of the same name."""
    parser = getattr(settings, f"{name}_tool_parser", NO_PARSER)
    return BackendGroup(
        name,
        kind,
        model=getattr(settings, f"{name}_model"),
        aliases=getattr(settings, f"{name}_aliases"),
        backends=(Backend(name, at),) if isinstance(at, str) else at,
        fallback=getattr(settings, f"{name}_fallback"),
        card=card,
        tool_parser="" if parser == NO_PARSER else parser,
        policy="" if card is None or card.policy is None else card.policy,
    )
