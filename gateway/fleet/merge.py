"""What is in force? The settings' fleet and an edition put together; what does not fit is left out and told."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace as with_members

from gateway.backends.board_layout import BACKENDS
from gateway.backends.roster import ALIKE, Roster, backend_of, build_roster, group_of
from gateway.core.fleet import Backend, BackendGroup
from gateway.core.model_card import FLAT, BackendCard, ModelCard
from gateway.fleet.edition import Edition, Rows, card_of, compose, read_edition
from gateway.fleet.fitness import check_backend, check_model
from gateway.transforms.shape import Shaper
from gateway.upstream.address import Address

if TYPE_CHECKING:
    from gateway.backends.settings import BackendSettings

FILE: Final = "GATEWAY_CONFIG"


class Merged(NamedTuple):
    """A fleet, and a sentence for each card that is not in it, or not as it says."""

    roster: Roster
    objections: tuple[str, ...]


def static_roster(settings: "BackendSettings") -> Roster:
    """The fleet that the settings describe, the `models:` section of the file among them, ready to serve.

    Raises:
        ValueError: a card says what cannot be done, or two of them contradict each other.
    """
    for card in settings.gateway_models:
        check_model(card)
    return Roster(tuple(map(_shaped, build_roster(settings).groups)))


def source_of(group: str) -> str:
    """What describes a group of the settings, for whoever wants to change it: a setting, or the file's section."""
    if group not in FLAT:
        return f"`models:` in {FILE}"
    return f"{group.upper()}_{'BACKENDS' if group == FLAT[0] else 'BACKEND'}"


def merge(static: Roster, edition: Edition) -> Merged:
    """The fleet of an edition.

    The settings come first: what the edition says of a name, a backend or a URL of theirs is left out. Where two cards
    of the edition claim the same, the first has it.
    """
    return _Merging(static, edition).result()


def objections(static: Roster, rows: Rows, *, rest_secs: float = 0.0) -> tuple[str, ...]:
    """What would not be served of these rows, a sentence for each: for whoever is about to change them.

    A model without a backend is no mistake: it is served as soon as it has one.
    """
    unread = []
    rows = Rows(tuple(rows.models), tuple(rows.backends), rows.drained)
    for row in rows.models:
        try:
            card_of(row)
        except ValueError as error:
            unread.append(str(error))
    edition = read_edition(compose(static, rows, now=0.0, rest_secs=rest_secs))
    return (*unread, *merge(static, edition).objections)


class _Merging:
    """One fleet in the making."""

    def __init__(self, static: Roster, edition: Edition) -> None:
        self._static = static
        self._edition = edition
        self._said: list[str] = []
        self._owners = {name: group.name for group in static.groups for name in (group.name, *group.model_names)}
        self._taken = {claim for _, one in static.backends() for claim in _claims(one.name, one.url)}
        self._first_free = sum(1 for _ in static.backends())
        self._columns = {(place.name, place.url): place.column for place in edition.places if not place.until}

    def result(self) -> Merged:
        """The fleet."""
        cards = dict(self._cards())
        backends: dict[str, list[Backend]] = {}
        for group, backend in self._backends():
            backends.setdefault(group, []).append(backend)
        groups = [self._extended(group, backends.get(group.name, [])) for group in self._static.groups]
        made = [made for name, card in cards.items() if name in backends and (made := self._made(card, backends[name]))]
        return Merged(Roster(tuple(self._with_fallbacks([*groups, *made]))), tuple(self._said))

    def _cards(self) -> Iterator[tuple[str, ModelCard]]:
        """The edition's models, each of names that nobody else has."""
        for card in self._edition.models:
            names = (card.name, *card.aliases)
            taken = next((name for name in names if self._owners.get(name, card.name) != card.name), None)
            if card.name in self._owners or taken is not None:
                owner = self._owners[card.name if taken is None else taken]
                self._said.append(f"models.{card.name} is left out: {taken or card.name} is a name of {owner}")
                continue
            try:
                check_model(card)
            except ValueError as error:
                self._said.append(f"models.{card.name} is left out: {error}")
                continue
            self._owners.update(dict.fromkeys(names, card.name))
            yield card.name, card

    def _backends(self) -> Iterator[tuple[str, Backend]]:
        """The edition's backends, each with its group's name."""
        for card in self._edition.backends:
            column = self._columns.get((card.name, card.url))
            why = self._refusal(card, column)
            if why:
                self._said.append(f"the backend {card.name} is left out: {why}")
                continue
            self._taken |= _claims(card.name, card.url)
            yield self._owners[card.model], backend_of(card, column=column, drained=card.name in self._edition.drained)

    def _refusal(self, card: BackendCard, column: int | None) -> str:
        """Why it cannot be used; empty: it can."""
        try:
            check_backend(card)
        except ValueError as error:
            return str(error)
        if card.model not in self._owners:
            return f"there is no model {card.model}"
        if taken := _claims(card.name, card.url) & self._taken:
            return f"{min(taken)} is another backend's"
        if column is None or not self._first_free <= column < BACKENDS:
            return f"there is room for {BACKENDS} backends, those that left within the longest request's time included"
        return ""

    def _extended(self, group: BackendGroup, more: Iterable[Backend]) -> BackendGroup:
        """A group of the settings, with backends that the edition adds, and those drained that it drains."""
        own = tuple(
            replace(backend, drained=True) if backend.name in self._edition.drained else backend
            for backend in group.backends
        )
        backends = (*own, *more)
        return group if backends == group.backends else _regrouped(group, backends=backends)

    def _made(self, card: ModelCard, backends: list[Backend]) -> BackendGroup | None:
        try:
            named = with_members(card, fallback=self._owners.get(card.fallback, card.fallback))
            return _shaped(group_of(named, tuple(backends)))
        except ValueError as error:
            self._said.append(f"models.{card.name} is left out: {error}")
            return None

    def _with_fallbacks(self, groups: list[BackendGroup]) -> Iterator[BackendGroup]:
        """The groups, those of the edition without a fallback that could not be one."""
        kinds = {group.name: group.kind for group in groups}
        static = {group.name for group in self._static.groups}
        for group in groups:
            fits = group.fallback != group.name and kinds.get(group.fallback) in ALIKE[group.kind]
            if not group.fallback or fits or group.name in static:
                yield group
                continue
            self._said.append(f"models.{group.name}.fallback is left out: {group.fallback} cannot answer in its stead")
            yield _regrouped(group, fallback="")


def _claims(name: str, url: str) -> set[str]:
    """What a backend has for itself: its name and, however its URL spells it, its address."""
    return {name, str(Address.parse(url))}


def _regrouped(
    group: BackendGroup, *, backends: tuple[Backend, ...] | None = None, fallback: str | None = None
) -> BackendGroup:
    return replace(
        group,
        backends=group.backends if backends is None else backends,
        fallback=group.fallback if fallback is None else fallback,
    )


def _shaped(group: BackendGroup) -> BackendGroup:
    """The group with what its card does to requests, made once."""
    return replace(group, shape=Shaper(group.card)) if group.card is not None and group.card.shapes else group
