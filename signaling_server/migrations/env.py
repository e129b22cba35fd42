"""Alembic's entry: runs on the connection that `signaling_server.db` hands over, and on no other."""

from alembic import context

from signaling_server.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
