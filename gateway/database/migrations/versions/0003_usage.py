"""What they used: each request's record, and daily sums."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "usage_records",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("ended_at", sa.Double, nullable=False),
        *[sa.Column(name, sa.Text, nullable=False) for name in ("organization", "key_id", "model", "path")],
        sa.Column("status", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("month", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_usage_records"),
    )
    op.create_index("ix_usage_records_ended_at", "usage_records", ["ended_at"])
    op.create_table(
        "usage_daily",
        sa.Column("day", sa.BigInteger, nullable=False, autoincrement=False),
        *[sa.Column(name, sa.Text, nullable=False) for name in ("organization", "key_id", "model", "epoch")],
        *[
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("month", "requests", "prompt_tokens", "completion_tokens")
        ],
        sa.PrimaryKeyConstraint("day", "organization", "key_id", "model", "epoch", name="pk_usage_daily"),
    )
    op.create_index("ix_usage_daily_month", "usage_daily", ["month"])
    op.create_index("ix_usage_daily_organization_day", "usage_daily", ["organization", "day"])
    op.create_index("ix_usage_daily_key_id_day", "usage_daily", ["key_id", "day"])


def downgrade() -> None:
    """Remove the tables."""
    for table in ("usage_daily", "usage_records"):
        op.drop_table(table)
