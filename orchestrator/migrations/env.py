"""Alembic's entry: run the scripts on the connection that `orchestrator.db.migrate` hands over."""

from alembic import context

from orchestrator.db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
