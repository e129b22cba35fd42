"""Models by the digest of their bundle: who has them, what the room calls them, and what it has deleted."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SHORT = 32
"""Characters of a digest that were a version."""


def upgrade() -> None:
    """Make the change. A model that was told of stays, without a name, until its worker tells of it again."""
    old = sa.table("room_models", *map(sa.column, (*_OLD, "room_id", "worker_id")))
    told = [dict(row) for row in op.get_bind().execute(sa.select(old)).mappings()]
    op.drop_table("room_models")
    models = _make_models()
    holdings = _make_holdings()
    _make_names()
    op.bulk_insert(models, list(_models_of(told)))
    op.bulk_insert(holdings, list(_holdings_of(told)))


def downgrade() -> None:
    """Undo it: what workers have stays, names do not."""
    models = sa.table("room_models", *map(sa.column, ("room_id", "digest", "title", "job_id", "facts")))
    columns = ("room_id", "worker_id", "worker_name", "digest", "format", "size", "created_at", "updated_at")
    held = sa.table("model_holdings", *map(sa.column, columns))
    same = (models.c.room_id == held.c.room_id) & (models.c.digest == held.c.digest)
    query = sa.select(held, models.c.title, models.c.job_id, models.c.facts).join(models, same)
    query = query.where(held.c.format == "sleap-nn")
    kept = [dict(row) for row in op.get_bind().execute(query).mappings()]
    for table in ("model_aliases", "model_versions", "model_names", "model_holdings", "room_models"):
        op.drop_table(table)
    op.bulk_insert(_make_old_models(), [_old_row(row) for row in kept])


_OLD = ("name", "version", "digest", "size", "job_id", "created_at", "updated_at", "facts")


def _models_of(told: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    seen: set[tuple[str, str]] = set()
    for row in told:
        if (row["room_id"], row["digest"]) in seen:
            continue
        seen.add((row["room_id"], row["digest"]))
        facts = json.loads(row["facts"])
        kept = ("room_id", "digest", "size", "job_id", "created_at", "updated_at")
        yield {name: row[name] for name in kept} | {
            "title": row["name"],
            "user_id": "",
            "deleted_at": None,
            "facts": json.dumps({"types": [facts.get("model_type", "")], "loss": facts.get("loss")}),
        }


def _holdings_of(told: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    seen: set[tuple[str, str, str]] = set()
    for row in told:
        key = (row["room_id"], row["worker_id"], row["digest"])
        if key not in seen:
            seen.add(key)
            kept = ("room_id", "worker_id", "digest", "size", "created_at", "updated_at")
            yield {name: row[name] for name in kept} | {
                "format": "sleap-nn",
                "source": row["digest"],
                "worker_name": json.loads(row["facts"]).get("worker_name", ""),
            }


def _old_row(row: Mapping[str, Any]) -> dict[str, Any]:
    facts = json.loads(row["facts"])
    types = facts.get("types") or [""]
    kept = ("room_id", "worker_id", "digest", "size", "job_id", "created_at", "updated_at")
    return {name: row[name] for name in kept} | {
        "name": row["title"] or "model",
        "version": row["digest"][:_SHORT],
        "facts": json.dumps({"model_type": types[0], "loss": facts.get("loss"), "worker_name": row["worker_name"]}),
    }


def _in_a_room(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    foreign = sa.ForeignKeyConstraint(
        ["room_id"], ["rooms.id"], name=op.f(f"fk_{table}_room_id_rooms"), ondelete="CASCADE"
    )
    return sa.Column("room_id", sa.String(80), nullable=False), foreign


def _make_models() -> sa.Table:
    room, foreign = _in_a_room("room_models")
    made = op.create_table(
        "room_models",
        room,
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("title", sa.String(128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("user_id", sa.String(80), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        foreign,
        sa.PrimaryKeyConstraint("room_id", "digest", name=op.f("pk_room_models")),
    )
    op.create_index("ix_room_models_newest", "room_models", ["room_id", "created_at", "digest"])
    return made


def _make_holdings() -> sa.Table:
    room, foreign = _in_a_room("model_holdings")
    made = op.create_table(
        "model_holdings",
        room,
        sa.Column("worker_id", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("worker_name", sa.String(128), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        foreign,
        sa.PrimaryKeyConstraint("room_id", "worker_id", "digest", "format", name=op.f("pk_model_holdings")),
    )
    op.create_index("ix_model_holdings_source", "model_holdings", ["room_id", "source"])
    op.create_index(op.f("ix_model_holdings_updated_at"), "model_holdings", ["updated_at"])
    return made


def _make_names() -> None:
    room, foreign = _in_a_room("model_names")
    op.create_table(
        "model_names",
        room,
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("folded", sa.String(64), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        foreign,
        sa.PrimaryKeyConstraint("room_id", "name", name=op.f("pk_model_names")),
        sa.UniqueConstraint("room_id", "folded", name=op.f("uq_model_names_folded")),
    )
    op.create_table(
        "model_versions",
        sa.Column("room_id", sa.String(80), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_by", sa.String(80), nullable=False),
        sa.Column("created_by_name", sa.String(128), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["room_id", "name"],
            ["model_names.room_id", "model_names.name"],
            name=op.f("fk_model_versions_name_model_names"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["room_id", "digest"],
            ["room_models.room_id", "room_models.digest"],
            name=op.f("fk_model_versions_digest_room_models"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("room_id", "name", "version", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("room_id", "name", "digest", name=op.f("uq_model_versions_digest")),
    )
    op.create_index("ix_model_versions_digest", "model_versions", ["room_id", "digest"])
    op.create_table(
        "model_aliases",
        sa.Column("room_id", sa.String(80), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("alias", sa.String(32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("moved_by", sa.String(80), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["room_id", "name", "version"],
            ["model_versions.room_id", "model_versions.name", "model_versions.version"],
            name=op.f("fk_model_aliases_version_model_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("room_id", "name", "alias", name=op.f("pk_model_aliases")),
    )
    op.create_index("ix_model_aliases_version", "model_aliases", ["room_id", "name", "version"])


def _make_old_models() -> sa.Table:
    room, foreign = _in_a_room("room_models")
    made = op.create_table(
        "room_models",
        room,
        sa.Column("worker_id", sa.String(80), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        foreign,
        sa.PrimaryKeyConstraint("room_id", "worker_id", "name", "version", name=op.f("pk_room_models")),
    )
    op.create_index(op.f("ix_room_models_updated_at"), "room_models", ["updated_at"])
    return made
