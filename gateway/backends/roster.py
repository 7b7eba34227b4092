"""Which backends are there, and which model names does each group answer to? The configured fleet, read once."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.backends.settings import BackendSettings
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup

_TEXT = frozenset({ModelKind.CHAT, ModelKind.TEXT2SQL})
_VECTORS = frozenset({ModelKind.EMBEDDING, ModelKind.RERANK})
ALIKE = {kind: kinds for kinds in (_TEXT, _VECTORS) for kind in kinds}
"""The kinds that have paths in common with a kind: only their groups may answer in its stead."""


@dataclass(frozen=True, slots=True)
class Roster:
    """All configured groups, the chat group first.

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
                    names = [f"{name.upper()}_MODEL or {name.upper()}_ALIASES" for name in (other, group.name)]
                    remedy = (
                        "a server serves one model, so give each group servers of its own"
                        if "://" in claim
                        else f"take it out of {names[0]}, or out of {names[1]}"
                    )
                    raise ValueError(f"{claim} is claimed by two groups, {other} and {group.name}: {remedy}")

        for group in self.groups:
            if group.fallback:
                self._check_fallback(group)

    def _check_fallback(self, group: BackendGroup) -> None:
        setting, name = f"{group.name.upper()}_FALLBACK", group.fallback
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


def build_roster(settings: BackendSettings) -> Roster:
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
    return Roster(tuple(_group(settings, name, kind, at) for name, kind, at in rows if at))


def _group(settings: BackendSettings, name: str, kind: ModelKind, at: str | tuple[Backend, ...]) -> BackendGroup:
    """A group from the settings that begin with its name; one URL is a backend of the same name."""
    return BackendGroup(
        name,
        kind,
        model=getattr(settings, f"{name}_model"),
        aliases=getattr(settings, f"{name}_aliases"),
        backends=(Backend(name, at),) if isinstance(at, str) else at,
        fallback=getattr(settings, f"{name}_fallback"),
    )
