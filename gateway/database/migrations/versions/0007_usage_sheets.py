"""The ledger by the sheet: what a worker wrote down at once is one row, and the daily sums stay as they were."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table of sheets. Records of single requests go: no release has written any."""
    op.create_table(
        "usage_sheets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("first_at", sa.Double, nullable=False),
        sa.Column("last_at", sa.Double, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage_sheets"),
    )
    op.create_index("ix_usage_sheets_last_at_id_first_at", "usage_sheets", ["last_at", "id", "first_at"])
    op.drop_table("usage_records")


def downgrade() -> None:
    """Make the table of records, empty; sheets go, sums stay."""
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
    op.drop_table("usage_sheets")
