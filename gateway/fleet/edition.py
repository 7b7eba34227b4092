"""How do models reach the workers? An edition: what the admin API has made, and where its backends stand on boards.

An edition is one blob in the catalog. It holds cards as the database has them, and no more of the settings than the
names of drained backends: each process puts it together with its own settings, so that the workers of a generation
that retires go on with theirs.
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from gateway.backends.board_layout import BACKENDS
from gateway.backends.roster import Roster
from gateway.core.model_card import BackendCard, ModelCard


class Place(Struct, frozen=True, array_like=True):
    """The column of a backend.

    Attributes:
        name: the backend's.
        url: the backend's; another URL is another backend.
        column: on the board of every generation of this host.
        until: until when nobody else may have it, in seconds on the monotonic clock, as it has left; 0.0: it is here.
    """

    name: str
    url: str
    column: int
    until: float = 0.0


class Edition(Struct, frozen=True):
    """What was published last.

    Attributes:
        models: in the order of their names.
        backends: likewise, those that are active.
        drained: names, the settings' own among them.
        places: of all backends here, and of those that have left a while ago.
    """

    models: tuple[ModelCard, ...] = ()
    backends: tuple[BackendCard, ...] = ()
    drained: frozenset[str] = frozenset()
    places: tuple[Place, ...] = ()


class ModelRow(Protocol):
    """A model as the database has it (`database.rows.Model`)."""

    @property
    def alias(self) -> str:
        """Its name."""
        ...

    @property
    def kind(self) -> str:
        """A `ModelKind`."""
        ...

    @property
    def model(self) -> str:
        """Its name at the backends."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """The other members of its card."""
        ...


class BackendRow(Protocol):
    """A backend as the database has it (`database.rows.Backend`)."""

    @property
    def name(self) -> str:
        """Its own."""
        ...

    @property
    def model(self) -> str:
        """Whom it serves."""
        ...

    @property
    def url(self) -> str:
        """Where it listens."""
        ...

    @property
    def weight(self) -> int:
        """Its share."""
        ...

    @property
    def active(self) -> bool:
        """Whether it counts."""
        ...


class Rows(NamedTuple):
    """All that the database says of models."""

    models: Iterable[ModelRow] = ()
    backends: Iterable[BackendRow] = ()
    drained: Collection[str] = ()


NOTHING = Edition()
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Edition).decode


def read_edition(blob: bytes) -> Edition:
    """The edition of a blob, an empty one for none.

    Raises:
        ValueError: it is none, or a later release's that cannot be understood.
    """
    try:
        return _decode(blob) if blob else NOTHING
    except msgspec.MsgspecError as error:
        raise ValueError(f"the published models cannot be read: {error}") from error


def card_of(row: ModelRow) -> ModelCard:
    """A model's card; what only a later release knows of it is passed over.

    Raises:
        ValueError: a member has a wrong type.
    """
    try:
        said = {**row.settings, "name": row.alias, "kind": row.kind, "model": row.model}
        return msgspec.convert(said, ModelCard)
    except msgspec.ValidationError as error:
        raise ValueError(f"models.{row.alias}: {error}") from None


def compose(static: Roster, rows: Rows, *, before: bytes = b"", now: float, rest_secs: float) -> bytes:
    """The blob to publish; empty, as before the first one, where nothing is said: what is kept under it stays valid.

    A backend keeps its column from edition to edition. One that has left keeps it for `rest_secs` more, as requests may
    run there that began before. Columns are handed out from the last one down, as settings take the first ones.

    Args:
        static: the fleet that the settings describe.
        rows: what the database says. A row that cannot be read is left out; `merge` tells of it as of any other that
            does not fit.
        before: the blob that was published before, by this process or an earlier one.
        now: seconds on the monotonic clock.
        rest_secs: the longest that a request may run (MAX_REQUEST_SECS).
    """
    models = []
    for row in rows.models:
        try:
            models.append(card_of(row))
        except ValueError:
            continue
    backends = [
        BackendCard(name=row.name, url=row.url.strip().rstrip("/"), model=row.model, weight=row.weight)
        for row in rows.backends
        if row.active
    ]
    try:
        known = read_edition(before).places
    except ValueError:
        known = ()
    taken = sum(1 for _ in static.backends())
    edition = Edition(
        tuple(sorted(models, key=lambda card: card.name)),
        tuple(sorted(backends, key=lambda card: card.name)),
        frozenset(rows.drained),
        _places(backends, known, range(BACKENDS - 1, taken - 1, -1), now=now, rest_secs=rest_secs),
    )
    return b"" if edition == NOTHING else _encode(edition)


def _places(
    backends: Iterable[BackendCard], known: Iterable[Place], columns: range, *, now: float, rest_secs: float
) -> tuple[Place, ...]:
    """A place for each backend, as far as there are columns; and those of backends that have left, while they rest."""
    kept = {(place.name, place.url): place for place in known if place.until == 0.0 or place.until > now}
    wanted = sorted({(backend.name, backend.url) for backend in backends})
    here = {key: Place(*key, kept[key].column) for key in wanted if key in kept and kept[key].column in columns}
    left = [
        place if place.until else Place(place.name, place.url, place.column, now + rest_secs)
        for key, place in kept.items()
        if key not in here
    ]
    free = iter(sorted(set(columns) - {place.column for place in (*here.values(), *left)}, reverse=True))
    for key in wanted:
        if key not in here and (column := next(free, None)) is not None:
            here[key] = Place(*key, column)
    return (*sorted(here.values(), key=lambda place: place.name), *left)
