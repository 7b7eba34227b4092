"""How do the tables look? One description, from which statements are made and against which migrations are checked."""

from typing import Any

import sqlalchemy as sa

from gateway.core.principal import AccountLimits
from gateway.database.rows import limits_as_json, limits_from_json

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class LimitsJson(sa.types.TypeDecorator[AccountLimits]):
    """`AccountLimits` as an object of the limits that there are; NULL for None."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: AccountLimits | None, dialect: sa.Dialect) -> dict[str, int] | None:
        """From Python to the database."""
        del dialect
        return None if value is None else limits_as_json(value)

    def process_result_value(self, value: dict[str, int] | None, dialect: sa.Dialect) -> AccountLimits | None:
        """From the database to Python."""
        del dialect
        return None if value is None else limits_from_json(value)


class Names(sa.types.TypeDecorator[frozenset[str]]):
    """A set of names as a sorted list; NULL for None."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: frozenset[str] | None, dialect: sa.Dialect) -> list[str] | None:
        """From Python to the database."""
        del dialect
        return None if value is None else sorted(value)

    def process_result_value(self, value: list[str] | None, dialect: sa.Dialect) -> frozenset[str] | None:
        """From the database to Python."""
        del dialect
        return None if value is None else frozenset(value)


def _text(name: str, **rest: Any) -> sa.Column[str]:  # noqa: ANN401 -- Column's own arguments
    return sa.Column(name, sa.Text, nullable=False, **rest)


def _number(name: str, **rest: Any) -> sa.Column[int]:  # noqa: ANN401 -- Column's own arguments
    return sa.Column(name, sa.BigInteger, nullable=False, **rest)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    _number("number"),
)
"""One row: the number of the last transaction that changed what publishers hand to workers."""

TOMBSTONES = sa.Table(
    "tombstones",
    METADATA,
    _text("kind", primary_key=True),
    _text("name", primary_key=True),
    _number("changed", index=True),
)
"""What is gone, by the number of the change that removed it: a key's digest in hex, an organization's name."""

ORGANIZATIONS = sa.Table(
    "organizations",
    METADATA,
    _text("name", primary_key=True),
    sa.Column("limits", LimitsJson),
    sa.Column("audit_opt_out", sa.Boolean, nullable=False),
    _time("created"),
    _number("version"),
    _number("changed", index=True),
)

API_KEYS = sa.Table(
    "api_keys",
    METADATA,
    _text("id", primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    _text("prefix"),
    _text("name"),
    _text("organization"),
    sa.Column("models", Names),
    *[_number(name) for name in AccountLimits.__struct_fields__],
    _number("concurrency"),
    _number("priority"),
    sa.Column("metadata", sa.JSON, nullable=False),
    _time("created"),
    _time("expires", nullable=True),
    _time("revoked", nullable=True),
    sa.Column("rotated_to", sa.Text, sa.ForeignKey("api_keys.id")),
    _number("version"),
    _number("changed"),
    sa.Index("ix_api_keys_changed_id", "changed", "id"),
    sa.Index("ix_api_keys_organization_id", "organization", "id"),
    sa.Index("ix_api_keys_rotated_to", "rotated_to"),
)

MODELS = sa.Table(
    "models",
    METADATA,
    _text("alias", primary_key=True),
    _text("kind"),
    _text("model"),
    sa.Column("settings", sa.JSON, nullable=False),
    _time("created"),
    _number("version"),
    _number("changed"),
)

BACKENDS = sa.Table(
    "backends",
    METADATA,
    _text("name", primary_key=True),
    _text("model"),
    _text("url"),
    _number("weight"),
    sa.Column("active", sa.Boolean, nullable=False),
    _time("created"),
    _number("version"),
    _number("changed"),
)

DRAINED_BACKENDS = sa.Table("drained_backends", METADATA, _text("name", primary_key=True), _time("since"))
"""Servers that get no more requests, those of the settings among them, as `fleet.drains` spells them."""

USAGE_SHEETS = sa.Table(
    "usage_sheets",
    METADATA,
    _text("id", primary_key=True),
    _time("first_at"),
    _time("last_at"),
    _number("records"),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Index("ix_usage_sheets_last_at_id_first_at", "last_at", "id", "first_at"),
)
"""Records of single requests, as the worker wrote them (`core/usage_sheet.py`); the id is the journal's name and the
sheet's in it."""

USAGE_DAILY = sa.Table(
    "usage_daily",
    METADATA,
    _number("day", primary_key=True, autoincrement=False),
    _text("organization", primary_key=True),
    _text("key_id", primary_key=True),
    _text("model", primary_key=True),
    _text("epoch", primary_key=True),
    _number("month", index=True),
    _number("requests"),
    _number("prompt_tokens"),
    _number("completion_tokens"),
    sa.Index("ix_usage_daily_organization_day", "organization", "day"),
    sa.Index("ix_usage_daily_key_id_day", "key_id", "day"),
)

HOSTS = sa.Table("hosts", METADATA, _text("id", primary_key=True), _text("name"), _number("beat"))
"""Gateways that use this database."""

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    _time("at"),
    _text("actor"),
    _text("action"),
    _text("target", index=True),
    sa.Column("before", sa.JSON(none_as_null=True)),
    sa.Column("after", sa.JSON(none_as_null=True)),
)
"""Append-only: triggers refuse to change, remove or replace a row (migrations 0004 and 0006)."""
