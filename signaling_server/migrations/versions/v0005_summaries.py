"""What workers tell of their jobs and models."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "job_summaries",
        sa.Column("room_id", sa.String(80), nullable=False),
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("worker_id", sa.String(80), nullable=False),
        sa.Column("worker_name", sa.String(128), nullable=False),
        sa.Column("user_id", sa.String(80), nullable=False),
        sa.Column("user_name", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name=op.f("fk_job_summaries_room_id_rooms"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("room_id", "job_id", name=op.f("pk_job_summaries")),
    )
    op.create_index(op.f("ix_job_summaries_updated_at"), "job_summaries", ["updated_at"])
    op.create_index(op.f("ix_job_summaries_worker_id"), "job_summaries", ["worker_id"])
    op.create_table(
        "room_models",
        sa.Column("room_id", sa.String(80), nullable=False),
        sa.Column("worker_id", sa.String(80), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name=op.f("fk_room_models_room_id_rooms"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("room_id", "worker_id", "name", "version", name=op.f("pk_room_models")),
    )
    op.create_index(op.f("ix_room_models_updated_at"), "room_models", ["updated_at"])


def downgrade() -> None:
    """Undo it."""
    op.drop_table("room_models")
    op.drop_table("job_summaries")
