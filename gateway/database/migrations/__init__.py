"""Steps from one schema to the next, in Alembic's order."""
