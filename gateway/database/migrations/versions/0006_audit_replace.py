"""Who changed what, as it was written: SQLite's REPLACE asks no trigger before it removes a row."""

from alembic import op

revision = "0006"
down_revision = "0005"

# Where the id is left to SQLite, NEW.id is -1, and no entry has that.
SQLITE = """
CREATE TRIGGER audit_no_REPLACE BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""


def upgrade() -> None:
    """Make the trigger; PostgreSQL takes an UPDATE for what it is, whatever statement makes it."""
    if op.get_context().dialect.name == "sqlite":
        op.execute(SQLITE)


def downgrade() -> None:
    """Remove the trigger."""
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_no_REPLACE")
