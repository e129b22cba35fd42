"""Tokens that were replaced by another."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    with op.batch_alter_table("tokens") as batch:
        batch.add_column(sa.Column("replaced_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Undo it."""
    with op.batch_alter_table("tokens") as batch:
        batch.drop_column("replaced_at")
