"""Users, and the accounts that are this service's own."""

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from signaling_server.models.base import Base


class User(Base):
    """Somebody who can log in.

    Attributes:
        provider: who vouches for them.
        subject: what that provider calls them; the two together are one person.
        name: what others see.
        disabled_at: since when the operator lets them in no longer.
    """

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("provider", "subject"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    provider: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[int] = mapped_column(BigInteger)
    disabled_at: Mapped[int | None] = mapped_column(BigInteger)


class LocalAccount(Base):
    """An account that this service itself vouches for.

    Attributes:
        username: what its holder types, in lower case.
        password_hash: argon2's own text; None until the holder has chosen a password.
        changed_at: when the password was chosen.
    """

    __tablename__ = "local_accounts"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    changed_at: Mapped[int | None] = mapped_column(BigInteger)

    user: Mapped[User] = relationship(lazy="raise")


class Enrolment(Base):
    """The right to choose the password of a local account, once.

    Attributes:
        hash: HMAC-SHA-256 of the link's secret under the pepper.
        used_at: when a password was chosen with it.
    """

    __tablename__ = "enrolments"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    used_at: Mapped[int | None] = mapped_column(BigInteger)

    user: Mapped[User] = relationship(lazy="raise")
