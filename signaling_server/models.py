"""The tables. Times are UTC milliseconds; secrets are there only as hashes under the pepper."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, LargeBinary, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables; constraints get predictable names, so that migrations can change them."""

    metadata = MetaData(naming_convention=NAMING)


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


class User(Base):
    """Somebody who can log in.

    Attributes:
        provider: who vouches for them.
        subject: what that provider calls them; the two together are one person.
        name: what others see.
    """

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("provider", "subject"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    provider: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[int] = mapped_column(BigInteger)


class AccessToken(Base):
    """A login of a user.

    Attributes:
        hash: HMAC-SHA-256 of the token under the pepper.
        display: its first characters, for lists.
        expires_at: when it ends by itself.
        revoked_at: when its holder logged out.
        last_used_at: when it was last seen, to the hour.
    """

    __tablename__ = "access_tokens"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    display: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)

    user: Mapped[User] = relationship(lazy="raise")


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


class Token(Base):
    """A credential of one room.

    Attributes:
        hash: HMAC-SHA-256 of the token under the pepper.
        display: its first characters, for lists.
        principal_user: the ``u_`` id of who acts with it.
        created_by: the user who made it; None for an anonymous room's.
        expires_at: when it ends by itself; None with its room.
        redeemed_at: when a session token was first used.
    """

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    display: Mapped[str] = mapped_column(String(16))
    principal_user: Mapped[str] = mapped_column(String(80))
    name: Mapped[str] = mapped_column(String(128))
    created_by: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    redeemed_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)

    room: Mapped[Room] = relationship(lazy="raise")
