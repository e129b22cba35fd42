"""Rooms, who belongs to them, who may come, and what happened there."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from signaling_server.models.base import Base
from signaling_server.models.users import User


class Room(Base):
    """A place where clients and workers may see each other.

    Attributes:
        kind: ``anonymous`` for the room behind a session string, ``room`` for one with members.
        expires_at: when it ends; None never.
    """

    __tablename__ = "rooms"
    __table_args__ = (CheckConstraint("kind IN ('anonymous', 'room')", name="kind"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger, index=True)


class Membership(Base):
    """That a user belongs to a room, and as what."""

    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint("role IN ('owner', 'member')", name="role"),)

    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)

    room: Mapped[Room] = relationship(lazy="raise")
    user: Mapped[User] = relationship(lazy="raise")


class Invite(Base):
    """The right to join a room, as often as it says.

    Attributes:
        code_hash: HMAC-SHA-256 under the pepper of the code that people type.
        link_hash: the same of the long form.
        display: the code's first characters, for lists.
        created_by: who invited.
        uses: how many may join with it.
        used: how many have.
    """

    __tablename__ = "invites"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), index=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    link_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    display: Mapped[str] = mapped_column(String(16))
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    uses: Mapped[int] = mapped_column(Integer)
    used: Mapped[int] = mapped_column(Integer)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)

    room: Mapped[Room] = relationship(lazy="raise")


class RoomEvent(Base):
    """Something that was done in a room, for its owner to read.

    Attributes:
        actor: the id of who did it.
        actor_name: what they were called then.
        action: what was done, by a fixed word.
        subject: to whom or what.
        detail: what else there is to say.
    """

    __tablename__ = "room_events"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), index=True)
    at: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(80))
    actor_name: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(160))
    detail: Mapped[str] = mapped_column(String(512))
