"""What does the database remember? Its rows as typed values, which know neither SQL nor a library."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct, to_builtins
from msgspec.structs import asdict

from gateway.core.principal import UNLIMITED, AccountLimits, Principal


class KeyProperties(Struct, frozen=True, kw_only=True):
    """What an operator chooses about an API key.

    Attributes:
        organization: `org:` and its name; empty: the client's address stands for it.
        name: for people.
        models: the names that may be asked for; None: all.
        limits: the key's own, beside its organization's.
        concurrency: requests that may run at once; 0 is no limit.
        priority: lower runs first.
        metadata: the operator's own words, never read.
        expires: seconds since 1970; None: never.
    """

    organization: str = ""
    name: str = ""
    models: frozenset[str] | None = None
    limits: AccountLimits = UNLIMITED
    concurrency: int = 0
    priority: int = 0
    metadata: dict[str, str] = {}
    expires: float | None = None


class ApiKey(Struct, frozen=True, kw_only=True):
    """An API key as it is kept; the key itself is not.

    Attributes:
        id: names it for ever; later keys sort behind earlier ones.
        digest: the keyed hash by which it is found.
        prefix: its beginning, which may be shown.
        properties: what an operator may change.
        created: seconds since 1970, as all times.
        revoked: since when it is refused; None: it is not.
        rotated_to: the id of the key that takes its place.
        version: the number of the change that wrote it, which nothing of its name has had before.
    """

    id: str
    digest: bytes
    prefix: str
    properties: KeyProperties
    created: float
    revoked: float | None = None
    rotated_to: str | None = None
    version: int = 0

    def principal(self) -> Principal:
        """What the key says of whoever shows it."""
        chosen = self.properties
        return Principal(
            organization=chosen.organization,
            key_id=self.id,
            key_prefix=self.prefix,
            models=chosen.models,
            limits=chosen.limits,
            concurrency=chosen.concurrency,
            priority=chosen.priority,
        )


class Organization(Struct, frozen=True, kw_only=True):
    """An organization that is named, `org:acme`, or an address, `ip:192.0.2.1`, whose limits are its own.

    Attributes:
        name: with its kind before the colon.
        limits: None: the settings' defaults.
        audit_opt_out: the audit trail keeps no text of its requests.
        created: seconds since 1970; chosen by the database.
        version: as `ApiKey`'s; chosen by the database.
    """

    name: str
    limits: AccountLimits | None = None
    audit_opt_out: bool = False
    created: float = 0.0
    version: int = 0


class Model(Struct, frozen=True, kw_only=True):
    """A model that was made by the admin API.

    Attributes:
        alias: the name that clients ask for.
        kind: chat, embed, rerank ...: the registry's word.
        model: the name under which backends serve it.
        settings: defaults, prefix, parser, fallback, policy: the registry's fields, as JSON.
        created: seconds since 1970; chosen by the database.
        version: as `ApiKey`'s; chosen by the database.
    """

    alias: str
    kind: str
    model: str
    settings: dict[str, Any] = {}
    created: float = 0.0
    version: int = 0


class Backend(Struct, frozen=True, kw_only=True):
    """A backend that was made by the admin API.

    Attributes:
        name: unique among all backends.
        model: the alias that it serves; may be one of the settings' own.
        url: where it listens.
        weight: its share of the turns.
        active: False: it is kept, and asked nothing.
        created: seconds since 1970; chosen by the database.
        version: as `ApiKey`'s; chosen by the database.
    """

    name: str
    model: str
    url: str
    weight: int = 1
    active: bool = True
    created: float = 0.0
    version: int = 0


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change: who did what to which, and what it was before and after.

    Attributes:
        id: later entries have higher ones.
        at: seconds since 1970.
        actor: who; the caller's word.
        action: `key.create`, `backend.drain` ...
        target: the id or name of what was changed.
        before: the row as it was; None: there was none.
        after: the row as it is; None: it is gone.
    """

    id: int
    at: float
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Usage(Struct, frozen=True):
    """What was used under one heading of a report.

    Attributes:
        heading: a key's id, an organization, a model, or a day's ordinal as text.
        requests: how many ran or were answered from a cache.
        prompt_tokens: of all of them.
        completion_tokens: likewise.
    """

    heading: str
    requests: int
    prompt_tokens: int
    completion_tokens: int


class Booked(Struct, frozen=True):
    """What became of sheets.

    Attributes:
        records: so many requests are new in the ledger.
        lost: records of new sheets that could not be read, by the sheet's id.
        first_at: when the first request of all of them ended, new or not, in seconds since 1970; None: there was none.
    """

    records: int = 0
    lost: Mapping[str, int] = {}
    first_at: float | None = None


class Place(NamedTuple):
    """Where a list of single requests goes on: behind this one, whose sheet may be gone by then.

    Attributes:
        last_at: of its sheet: when the last request there ended.
        sheet: its id.
        number: of the request on it, the first being 0.
    """

    last_at: float
    sheet: str
    number: int


class AccountUse(Struct, frozen=True):
    """What one account has used of its calendar windows, for the restore of its counters.

    Attributes:
        account: `key:<id>`, or an organization (`org:acme`, `ip:...`).
        day_requests: of the day.
        day_tokens: prompt and completion together.
        month_requests: of the month, the day included.
        month_tokens: likewise.
    """

    account: str
    day_requests: int
    day_tokens: int
    month_requests: int
    month_tokens: int


def described(row: ApiKey | Organization | Model | Backend | None) -> dict[str, Any] | None:
    """A row as the audit trail shows it: JSON with names, and no digest."""
    if row is None:
        return None
    shown: dict[str, Any] = {**asdict(row), **(asdict(row.properties) if isinstance(row, ApiKey) else {})}
    shown.pop("digest", None)
    shown.pop("properties", None)
    if shown.get("limits") is not None:
        shown["limits"] = limits_as_json(shown["limits"])
    if shown.get("models") is not None:
        shown["models"] = sorted(shown["models"])
    described: dict[str, Any] = to_builtins(shown)
    return described


def limits_as_json(limits: AccountLimits) -> dict[str, int]:
    """Limits by name, those that there are."""
    return {name: value for name, value in asdict(limits).items() if value}


def limits_from_json(values: Mapping[str, int]) -> AccountLimits:
    """The reverse of `limits_as_json`; a limit that only a later version knows is passed over."""
    return AccountLimits(**{name: values[name] for name in AccountLimits.__struct_fields__ if name in values})
