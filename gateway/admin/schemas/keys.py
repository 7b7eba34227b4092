"""How does an API key look to an operator? What he chooses, and what is shown: the key itself once."""

from typing import Annotated, Literal

from msgspec.structs import replace
from pydantic import Field, StringConstraints

from gateway.admin.names import TEXT, ModelName, NamedOrganization
from gateway.admin.schemas.common import Limits, Moment, Taken, Text, limits_of, moment, moment_or_none
from gateway.core.principal import UNLIMITED
from gateway.database.rows import ApiKey, KeyProperties

MOST_AT_ONCE = 1_000_000
MOST_PRIORITY = 1_000
MAX_MODELS = 200
MAX_METADATA = 16
DAY_SECS = 86_400
MAX_OVERLAP_SECS = 90 * DAY_SECS

Word = Annotated[str, StringConstraints(max_length=64, min_length=1, pattern=TEXT)]
Words = Annotated[str, StringConstraints(max_length=512, pattern=TEXT)]


class KeyWishes(Taken):
    """What may be chosen about an API key; a change leaves what it does not state as it is."""

    organization: NamedOrganization | None = Field(
        default=None, description="Whose limits count beside its own; null: the client's address stands for it."
    )
    name: Text = Field(default="", description="For people.")
    models: list[ModelName] | None = Field(
        default=None, min_length=1, max_length=MAX_MODELS, description="The names that may be asked for; null: all."
    )
    limits: Limits = Field(default=Limits(), description="The key's own, beside its organization's.")
    concurrency: Annotated[int, Field(strict=True, ge=0, le=MOST_AT_ONCE)] = Field(
        default=0, description="Requests that may run at once; 0 is no limit."
    )
    priority: Annotated[int, Field(strict=True, ge=-MOST_PRIORITY, le=MOST_PRIORITY)] = Field(
        default=0,
        description="Lower runs first; counts at models with `schedules_by_priority` alone.",
    )
    metadata: dict[Word, Words] = Field(default={}, max_length=MAX_METADATA, description="Your own words.")
    expires_at: Moment | None = Field(default=None, description="From when on it is refused; null: never.")

    def over(self, before: KeyProperties) -> KeyProperties:
        """Those properties with what was stated in the place of theirs."""
        stated = self.model_dump(exclude_unset=True)
        if "organization" in stated:
            stated["organization"] = self.organization or ""
        if "models" in stated:
            stated["models"] = None if self.models is None else frozenset(self.models)
        if "limits" in stated:
            stated["limits"] = self.limits.over(before.limits)
        if "expires_at" in stated:
            del stated["expires_at"]
            stated["expires"] = None if self.expires_at is None else self.expires_at.timestamp()
        return replace(before, **stated)

    def properties(self) -> KeyProperties:
        """The properties of a new key."""
        return self.over(KeyProperties(limits=UNLIMITED))


class Rotation(Taken):
    """How one key takes the place of another."""

    overlap_seconds: Annotated[int, Field(strict=True, ge=0, le=MAX_OVERLAP_SECS)] = Field(
        default=DAY_SECS, description="For how long the old key works beside the new one."
    )


class Key(Taken):
    """An API key; the key itself is not known any more."""

    object: Literal["key"] = "key"
    id: str
    prefix: str = Field(description="Its beginning, by which people tell keys apart.")
    state: Literal["active", "expired", "revoked"]
    organization: str | None
    name: str
    models: list[str] | None
    limits: Limits
    concurrency: int
    priority: int
    metadata: dict[str, str]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    rotated_to: str | None = Field(description="The id of the key that takes its place.")


class NewKey(Key):
    """A key that was made just now: the only answer that ever shows it."""

    key: str = Field(description="Keep it: it is shown this once.")


def shown(key: ApiKey, now: float) -> Key:
    """A key as it is shown."""
    chosen = key.properties
    ended = chosen.expires is not None and chosen.expires <= now
    return Key(
        id=key.id,
        prefix=key.prefix,
        state="revoked" if key.revoked is not None else "expired" if ended else "active",
        organization=chosen.organization or None,
        name=chosen.name,
        models=None if chosen.models is None else sorted(chosen.models),
        limits=limits_of(chosen.limits),
        concurrency=chosen.concurrency,
        priority=chosen.priority,
        metadata=chosen.metadata,
        created_at=moment(key.created),
        expires_at=moment_or_none(chosen.expires),
        revoked_at=moment_or_none(key.revoked),
        rotated_to=key.rotated_to,
    )
