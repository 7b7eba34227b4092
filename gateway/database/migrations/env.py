"""How does Alembic run here? On the connection, and in the transaction, that `gateway.database.revisions` hands in."""

from alembic import context

from gateway.database.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
context.run_migrations()
