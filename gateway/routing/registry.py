"""Which group serves this model? Names and aliases to groups, checked against what the path can do."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import force_setattr

from gateway.core.endpoint import Endpoint, ModelKind
from gateway.core.errors import ModelNotAllowedError, ModelNotFoundError, WrongModelKindError
from gateway.core.fleet import BackendGroup

MAX_SHOWN_NAME = 64
"""Characters of a made-up model name that an error message repeats."""


class Route(Struct, frozen=True):
    """Where a request goes, and under which name it was asked for.

    `renamed` says whether the name must be rewritten on the way in and on the way out; it follows from the others.
    """

    group: BackendGroup
    asked: str
    renamed: bool = False

    def __post_init__(self) -> None:
        """Compare once: routes are kept, and a property would be a call for each request."""
        force_setattr(self, "renamed", self.asked != self.group.model)


def may_use(group: BackendGroup, allowed: frozenset[str] | None) -> bool:
    """Whether a key that allows these names (None: all) may use a group.

    One of the group's names is enough, and then all of them may be asked for: they are spellings of one model, and a
    key that was made for `qwen` must not fail where somebody writes `Qwen/Qwen2.5-7B-Instruct`. A group that only
    stands in for another (its fallback) needs no permission: that choice is the operator's.
    """
    return allowed is None or not allowed.isdisjoint(group.model_names)


def default_name(group: BackendGroup) -> str:
    """The name that answers carry when the request named no model: the shortest, which is the one people type."""
    return min(group.model_names, key=len)


class Registry:
    """All models of this gateway."""

    def __init__(self, groups: Iterable[BackendGroup]) -> None:
        self.groups = tuple(groups)
        self._by_name: dict[str, BackendGroup] = {}
        self._default: dict[ModelKind, BackendGroup] = {}
        self._routes: dict[tuple[str, str | None], Route] = {}
        for group in self.groups:
            self._default.setdefault(group.kind, group)
            for name in group.model_names:
                if self._by_name.setdefault(name, group) is not group:
                    raise ValueError(f"the model name {name!r} belongs to two groups")

    def resolve(self, endpoint: Endpoint, asked: str | None, allowed: frozenset[str] | None = None) -> Route:
        """The route for a request to `endpoint` that asks for the model `asked`, or for none.

        Args:
            endpoint: the path.
            asked: the model's name as the client wrote it; None: the path's default.
            allowed: the names that the client's key allows, see `may_use`; None: all.

        Raises:
            ModelNotFoundError: no such model, or none configured for this path.
            ModelNotAllowedError: the key does not allow it. What is said of other models names allowed ones only.
            WrongModelKindError: the model cannot do what the path wants.
        """
        route = self._routes.get((endpoint.path, asked))
        if route is None:
            # Only what was found is kept: paths and names that exist are few, made-up ones are not.
            route = self._routes[endpoint.path, asked] = self._find(endpoint, asked, allowed)
        if allowed is not None:
            self._permit(route.group, route.asked, allowed)
        return route

    def _find(self, endpoint: Endpoint, asked: str | None, allowed: frozenset[str] | None) -> Route:
        if asked is None:
            return self._default_route(endpoint)
        names = {name: group for name, group in self._by_name.items() if may_use(group, allowed)}
        group = self._by_name.get(asked)
        if group is None:
            shown = asked if len(asked) <= MAX_SHOWN_NAME else f"{asked[:MAX_SHOWN_NAME]}..."
            raise ModelNotFoundError(
                f"The model `{shown}` does not exist. Known models: {self._list(names)}.", param="model"
            )
        self._permit(group, asked, allowed)
        if group.kind not in endpoint.kinds:
            serving = self._list(name for name, known in names.items() if known.kind in endpoint.kinds)
            raise WrongModelKindError(
                f"The model `{asked}` does not serve {endpoint.path}; these do: {serving}.", param="model"
            )
        return Route(group, asked)

    def _permit(self, group: BackendGroup, asked: str, allowed: frozenset[str] | None) -> None:
        if not may_use(group, allowed):
            mine = self._list(name for name, known in self._by_name.items() if may_use(known, allowed))
            raise ModelNotAllowedError(
                f"This API key may not use the model `{asked}`. It may use: {mine}.",
                param="model",
                should_retry=False,
            )

    def _default_route(self, endpoint: Endpoint) -> Route:
        for kind in endpoint.kinds:
            if group := self._default.get(kind):
                return Route(group, default_name(group))
        raise ModelNotFoundError(f"No model for {endpoint.path} is configured.", param="model")

    @staticmethod
    def _list(names: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in sorted(names)) or "none"
