"""Who may ask: organizations, API keys, and the number of the last change."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

LIMITS = (
    "requests_per_minute",
    "tokens_per_minute",
    "requests_per_day",
    "tokens_per_day",
    "requests_per_month",
    "tokens_per_month",
)


def upgrade() -> None:
    """Make the tables."""
    changes = op.create_table(
        "changes",
        sa.Column("id", sa.Integer, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
    )
    op.bulk_insert(changes, [{"id": 1, "number": 0}])
    op.create_table(
        "tombstones",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones_changed", "tombstones", ["changed"])
    op.create_table(
        "organizations",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("limits", sa.JSON),
        sa.Column("audit_opt_out", sa.Boolean, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_organizations"),
    )
    op.create_index("ix_organizations_changed", "organizations", ["changed"])
    _make_keys()


def _make_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        *[sa.Column(name, sa.Text, nullable=False) for name in ("prefix", "name", "organization")],
        sa.Column("models", sa.JSON),
        *[sa.Column(name, sa.BigInteger, nullable=False) for name in (*LIMITS, "concurrency", "priority")],
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("revoked", sa.Double),
        sa.Column("rotated_to", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
        sa.ForeignKeyConstraint(["rotated_to"], ["api_keys.id"], name="fk_api_keys_rotated_to_api_keys"),
    )
    op.create_index("ix_api_keys_changed_id", "api_keys", ["changed", "id"])
    op.create_index("ix_api_keys_organization_id", "api_keys", ["organization", "id"])
    op.create_index("ix_api_keys_rotated_to", "api_keys", ["rotated_to"])


def downgrade() -> None:
    """Remove the tables, and all keys with them."""
    for table in ("api_keys", "organizations", "tombstones", "changes"):
        op.drop_table(table)
