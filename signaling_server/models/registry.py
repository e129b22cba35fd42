"""What workers tell of their jobs and models, and what a room calls its models: never data."""

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from signaling_server.models.base import Base


class JobSummary(Base):
    """A job, as its worker last told of it.

    Attributes:
        worker_id: the worker that has it; only that one may tell of it.
        user_id: who submitted it.
        state: as the worker calls it.
        facts: what else there is to say, as bounded JSON.
        updated_at: when the worker last told.
    """

    __tablename__ = "job_summaries"

    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True)
    job_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    worker_id: Mapped[str] = mapped_column(String(80), index=True)
    worker_name: Mapped[str] = mapped_column(String(128))
    user_id: Mapped[str] = mapped_column(String(80))
    user_name: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger, index=True)
    facts: Mapped[str] = mapped_column(Text)


class RoomModel(Base):
    """A model of a room: what its bundle is, once for all workers that have it.

    It stays while a worker has it or a name means it. One that was deleted stays as well, so that a worker that was
    away meanwhile does not bring it back.

    Attributes:
        digest: of the bundle, in hex.
        size: bytes of its files.
        job_id: the job that trained it; empty if it came otherwise.
        user_id: who trained or pushed it; empty if nobody knows.
        created_at: when it was ready.
        updated_at: when a worker last told of it.
        deleted_at: when the room deleted it; None while it has it.
        facts: what else there is to say, as bounded JSON.
    """

    __tablename__ = "room_models"
    __table_args__ = (Index("ix_room_models_newest", "room_id", "created_at", "digest"),)

    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    title: Mapped[str] = mapped_column(String(128))
    size: Mapped[int] = mapped_column(BigInteger)
    job_id: Mapped[str] = mapped_column(String(80))
    user_id: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)
    facts: Mapped[str] = mapped_column(Text)


class ModelHolding(Base):
    """That a worker has the files of a model in one format.

    Attributes:
        worker_name: what it was called when it told.
        digest: of these files.
        source: the bundle that they are a format of; the digest itself for the bundle.
        size: their bytes.
        updated_at: when the worker last told.
    """

    __tablename__ = "model_holdings"
    __table_args__ = (Index("ix_model_holdings_source", "room_id", "source"),)

    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True)
    worker_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    format: Mapped[str] = mapped_column(String(16), primary_key=True)
    worker_name: Mapped[str] = mapped_column(String(128))
    source: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger, index=True)


class RoomModelName(Base):
    """A name that a room has given, also if all its versions are deleted: a number is never used again.

    Attributes:
        folded: the name without regard to upper and lower case; two names that differ in nothing else are one.
        last_version: the highest number that was given.
    """

    __tablename__ = "model_names"
    __table_args__ = (UniqueConstraint("room_id", "folded", name="uq_model_names_folded"),)

    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    folded: Mapped[str] = mapped_column(String(64))
    last_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[int] = mapped_column(BigInteger)


class RoomModelVersion(Base):
    """That a version of a name is a certain model, for ever or until it is deleted.

    Attributes:
        created_by: who gave the name, by id; created_by_name: what they were called then.
    """

    __tablename__ = "model_versions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["room_id", "name"],
            ["model_names.room_id", "model_names.name"],
            name="fk_model_versions_name_model_names",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["room_id", "digest"],
            ["room_models.room_id", "room_models.digest"],
            name="fk_model_versions_digest_room_models",
            ondelete="CASCADE",
        ),
        UniqueConstraint("room_id", "name", "digest", name="uq_model_versions_digest"),
        Index("ix_model_versions_digest", "room_id", "digest"),
    )

    room_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(80))
    created_by_name: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[int] = mapped_column(BigInteger)


class ModelAlias(Base):
    """Where an alias of a name points; the version cannot go while it does.

    Attributes:
        moved_by: who let it point there, by id.
    """

    __tablename__ = "model_aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["room_id", "name", "version"],
            ["model_versions.room_id", "model_versions.name", "model_versions.version"],
            name="fk_model_aliases_version_model_versions",
            ondelete="CASCADE",
        ),
        Index("ix_model_aliases_version", "room_id", "name", "version"),
    )

    room_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    alias: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    moved_by: Mapped[str] = mapped_column(String(80))
    moved_at: Mapped[int] = mapped_column(BigInteger)
