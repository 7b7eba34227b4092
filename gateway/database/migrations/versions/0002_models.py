"""What serves them: models and backends that are made at run time, and who is drained."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "models",
        *[sa.Column(name, sa.Text, nullable=False) for name in ("alias", "kind", "model")],
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("alias", name="pk_models"),
    )
    op.create_table(
        "backends",
        *[sa.Column(name, sa.Text, nullable=False) for name in ("name", "model", "url")],
        sa.Column("weight", sa.BigInteger, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_backends"),
    )
    op.create_table(
        "drained_backends",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_drained_backends"),
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in ("drained_backends", "backends", "models"):
        op.drop_table(table)
