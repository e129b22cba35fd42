"""What workers tell of their jobs and models: never data."""

from sqlalchemy import BigInteger, ForeignKey, String, Text
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
    """A model that a worker holds.

    Attributes:
        digest: SHA-256 of the model's files, in hex.
        size: bytes of its files.
        job_id: the job that trained it; empty if it came otherwise.
        facts: what else there is to say, as bounded JSON.
    """

    __tablename__ = "room_models"

    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True)
    worker_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[str] = mapped_column(String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    job_id: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger, index=True)
    facts: Mapped[str] = mapped_column(Text)
