"""Which backends are there, and which model names does each group answer to? The configured fleet, read once."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.backends.settings import BackendSettings
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup


@dataclass(frozen=True, slots=True)
class Roster:
    """All configured groups, the chat group first.

    Raises:
        ValueError: two groups claim one model name, or one URL is named in two groups.
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

    def of_kind(self, kind: ModelKind) -> tuple[BackendGroup, ...]:
        """The groups whose model can do that."""
        return tuple(group for group in self.groups if group.kind is kind)

    def backends(self) -> Iterator[tuple[BackendGroup, Backend]]:
        """Every server with the group that it belongs to."""
        return ((group, backend) for group in self.groups for backend in group.backends)


def build_roster(settings: BackendSettings) -> Roster:
    """The fleet that the settings describe; a group without a URL does not exist.

    Raises:
        ValueError: two groups claim one model name or one URL.
    """
    chat = tuple(Backend(f"chat{index}", url) for index, url in enumerate(settings.chat_backends))
    rows = (
        ("chat", ModelKind.CHAT, settings.chat_model, settings.chat_aliases, chat),
        ("text2sql", ModelKind.TEXT2SQL, settings.text2sql_model, settings.text2sql_aliases, settings.text2sql_backend),
        ("embed", ModelKind.EMBEDDING, settings.embed_model, settings.embed_aliases, settings.embed_backend),
        ("rerank", ModelKind.RERANK, settings.rerank_model, settings.rerank_aliases, settings.rerank_backend),
    )
    groups = (
        BackendGroup(name, kind, model, aliases, (Backend(name, at),) if isinstance(at, str) else at)
        for name, kind, model, aliases, at in rows
        if at
    )
    return Roster(tuple(groups))
