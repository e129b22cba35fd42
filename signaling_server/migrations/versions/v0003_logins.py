"""Logins on devices, with tokens that are renewed; accounts of the service's own."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    with op.batch_alter_table("users") as batch:
        batch.add_column(sa.Column("disabled_at", sa.BigInteger(), nullable=True))
    _create_logins()
    _split_access_tokens()
    _create_codes()
    _create_accounts()


def downgrade() -> None:
    """Undo it."""
    _join_access_tokens()
    for table in ("enrolments", "local_accounts", "provider_visits", "device_codes", "refresh_tokens", "logins"):
        op.drop_table(table)
    with op.batch_alter_table("users") as batch:
        batch.drop_column("disabled_at")


def _split_access_tokens() -> None:
    # who is logged in stays logged in: each token becomes a login of the same id
    op.execute(
        "INSERT INTO logins (id, user_id, kind, device, address, created_at, expires_at, last_used_at, revoked_at) "
        "SELECT id, user_id, 'dev', '', '', created_at, expires_at, last_used_at, revoked_at FROM access_tokens"
    )
    with op.batch_alter_table("access_tokens") as batch:
        batch.add_column(sa.Column("login_id", sa.String(80), nullable=True))
        batch.add_column(sa.Column("kind", sa.String(16), nullable=False, server_default="bearer"))
    op.execute("UPDATE access_tokens SET login_id = id")
    with op.batch_alter_table("access_tokens") as batch:
        batch.drop_index(op.f("ix_access_tokens_user_id"))
        batch.drop_constraint(op.f("fk_access_tokens_user_id_users"), type_="foreignkey")
        for column in ("user_id", "display", "last_used_at", "revoked_at"):
            batch.drop_column(column)
        batch.alter_column("login_id", existing_type=sa.String(80), nullable=False)
        batch.alter_column("kind", existing_type=sa.String(16), server_default=None)
        batch.create_check_constraint(op.f("ck_access_tokens_kind"), "kind IN ('bearer', 'cookie')")
        batch.create_foreign_key(
            op.f("fk_access_tokens_login_id_logins"), "logins", ["login_id"], ["id"], ondelete="CASCADE"
        )
        batch.create_index(op.f("ix_access_tokens_login_id"), ["login_id"])


def _join_access_tokens() -> None:
    with op.batch_alter_table("access_tokens") as batch:
        batch.add_column(sa.Column("user_id", sa.String(80), nullable=True))
        batch.add_column(sa.Column("display", sa.String(16), nullable=False, server_default="slpu_"))
        batch.add_column(sa.Column("last_used_at", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("revoked_at", sa.BigInteger(), nullable=True))
    # a cookie is worth nothing to the version before
    op.execute("DELETE FROM access_tokens WHERE kind = 'cookie'")
    for column in ("user_id", "last_used_at", "revoked_at"):
        op.execute(
            f"UPDATE access_tokens SET {column} = "  # noqa: S608 - names from the line above
            f"(SELECT {column} FROM logins WHERE logins.id = access_tokens.login_id)"
        )
    with op.batch_alter_table("access_tokens") as batch:
        batch.drop_index(op.f("ix_access_tokens_login_id"))
        batch.drop_constraint(op.f("fk_access_tokens_login_id_logins"), type_="foreignkey")
        batch.drop_constraint(op.f("ck_access_tokens_kind"), type_="check")
        batch.drop_column("login_id")
        batch.drop_column("kind")
        batch.alter_column("user_id", existing_type=sa.String(80), nullable=False)
        batch.alter_column("display", existing_type=sa.String(16), server_default=None)
        batch.create_foreign_key(
            op.f("fk_access_tokens_user_id_users"), "users", ["user_id"], ["id"], ondelete="CASCADE"
        )
        batch.create_index(op.f("ix_access_tokens_user_id"), ["user_id"])


def _create_logins() -> None:
    op.create_table(
        "logins",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("user_id", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("device", sa.String(128), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(16), nullable=True),
        sa.CheckConstraint("kind IN ('device', 'browser', 'dev')", name=op.f("ck_logins_kind")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_logins_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logins")),
    )
    op.create_index(op.f("ix_logins_expires_at"), "logins", ["expires_at"])
    op.create_index(op.f("ix_logins_user_id"), "logins", ["user_id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("login_id", sa.String(80), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["login_id"], ["logins.id"], name=op.f("fk_refresh_tokens_login_id_logins"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_refresh_tokens_hash")),
    )
    op.create_index(op.f("ix_refresh_tokens_expires_at"), "refresh_tokens", ["expires_at"])
    op.create_index(op.f("ix_refresh_tokens_login_id"), "refresh_tokens", ["login_id"])


def _create_codes() -> None:
    op.create_table(
        "device_codes",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("device_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("user_code_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("device", sa.String(128), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("polled_at", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("user_id", sa.String(80), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'approved', 'denied', 'used')", name=op.f("ck_device_codes_state")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_device_codes_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_codes")),
        sa.UniqueConstraint("device_hash", name=op.f("uq_device_codes_device_hash")),
        sa.UniqueConstraint("user_code_hash", name=op.f("uq_device_codes_user_code_hash")),
    )
    op.create_index(op.f("ix_device_codes_expires_at"), "device_codes", ["expires_at"])
    op.create_table(
        "provider_visits",
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(128), nullable=False),
        sa.Column("return_to", sa.String(512), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_provider_visits")),
    )
    op.create_index(op.f("ix_provider_visits_expires_at"), "provider_visits", ["expires_at"])


def _create_accounts() -> None:
    op.create_table(
        "local_accounts",
        sa.Column("user_id", sa.String(80), nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_local_accounts_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_local_accounts")),
        sa.UniqueConstraint("username", name=op.f("uq_local_accounts_username")),
    )
    op.create_table(
        "enrolments",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("user_id", sa.String(80), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_enrolments_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolments")),
        sa.UniqueConstraint("hash", name=op.f("uq_enrolments_hash")),
    )
    op.create_index(op.f("ix_enrolments_expires_at"), "enrolments", ["expires_at"])
    op.create_index(op.f("ix_enrolments_user_id"), "enrolments", ["user_id"])
