"""Who counts a group's seats and turns? All hosts together where they have a server of it in common, else each host."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from gateway.backends.common import name_of_all
from gateway.core.fleet import BackendGroup
from gateway.store.protocol import LimiterStore

NOTHING: Mapping[str, str] = {}


class Counters:
    """The store of each group, and what the group's backends are called there.

    With a store of several hosts, a server that is one for all is called by its URL, another by its name and its
    host's; a group with none of the former is counted by the host's own store.

    Args:
        store: of all hosts, or of the only one.
        one_for_all: whether a URL leads each host to the same server.

    Attributes:
        next_turn: see `LimiterStore`; of the group of that name.
    """

    def __init__(self, store: LimiterStore, one_for_all: Callable[[str], bool]) -> None:
        self._store = store
        self._one_for_all = one_for_all
        self._common: dict[str, BackendGroup] = {}
        self._called: dict[str, Mapping[str, str]] = {}
        self.next_turn = store.next_turn if store.own is store else self._next_turn

    def follow(self, groups: Iterable[BackendGroup]) -> None:
        """These groups are in force. Whoever sits keeps the seat."""
        self._called.clear()
        self._common = {
            group.name: group for group in groups if any(self._one_for_all(backend.url) for backend in group.backends)
        }

    def of(self, group: str) -> LimiterStore:
        """Who counts for the group of that name."""
        return self._store if group in self._common else self._store.own

    def called(self, group: str) -> Mapping[str, str]:
        """What its backends are called there, by their names; those that are not in it, by just these."""
        if self._store.own is self._store or group not in self._common:
            return NOTHING
        if group not in self._called:
            host = self._store.accounts.host()
            self._called[group] = {
                one.name: name_of_all(one.url) if self._one_for_all(one.url) else f"{one.name}@{host}"
                for one in self._common[group].backends
            }
        return self._called[group]

    def _next_turn(self, group: str) -> Coroutine[Any, Any, int]:
        return self.of(group).next_turn(group)
