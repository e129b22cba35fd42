"""Credentials of rooms."""

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from signaling_server.models.base import Base
from signaling_server.models.rooms import Room


class Token(Base):
    """A credential of one room.

    Attributes:
        hash: HMAC-SHA-256 of the token under the pepper.
        display: its first characters, for lists.
        principal_user: the ``u_`` id of who acts with it.
        created_by: the user who made it; None for an anonymous room's.
        expires_at: when it ends by itself; None with its room.
        redeemed_at: when a session token was first used.
        replaced_at: when another token took its place; it ends by itself a while later.
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
    replaced_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)

    room: Mapped[Room] = relationship(lazy="raise")
