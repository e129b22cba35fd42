"""Logins and what leads to them."""

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from signaling_server.models.base import Base
from signaling_server.models.users import User


class Login(Base):
    """A user on one device, until they log out there. Its tokens come and go; sockets are bound to this.

    Attributes:
        kind: ``device`` for a command line, ``browser`` for a cookie, ``dev`` for a login by name alone.
        device: what the device called itself.
        address: where it came from.
        expires_at: when it ends unless it is used before.
        last_used_at: when it was last seen, to the hour.
        revoked_at: when it was ended.
        reason: what ended it: ``logout``, ``revoked``, ``reuse`` of a refresh token.
    """

    __tablename__ = "logins"
    __table_args__ = (CheckConstraint("kind IN ('device', 'browser', 'dev')", name="kind"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    device: Mapped[str] = mapped_column(String(128))
    address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str | None] = mapped_column(String(16))

    user: Mapped[User] = relationship(lazy="raise")


class AccessToken(Base):
    """What a login shows with every request.

    Attributes:
        kind: ``bearer`` for a header, ``cookie`` for a browser; one is never taken for the other.
        hash: HMAC-SHA-256 of the token under the pepper.
    """

    __tablename__ = "access_tokens"
    __table_args__ = (CheckConstraint("kind IN ('bearer', 'cookie')", name="kind"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    login_id: Mapped[str] = mapped_column(ForeignKey("logins.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)

    login: Mapped[Login] = relationship(lazy="raise")


class RefreshToken(Base):
    """What a login exchanges for new tokens (RFC 6749 §6), once.

    Attributes:
        used_at: when it was exchanged; from then on it is good for a moment more.
    """

    __tablename__ = "refresh_tokens"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    login_id: Mapped[str] = mapped_column(ForeignKey("logins.id", ondelete="CASCADE"), index=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    used_at: Mapped[int | None] = mapped_column(BigInteger)

    login: Mapped[Login] = relationship(lazy="raise")


class DeviceCode(Base):
    """A command line that waits for somebody to let it in (RFC 8628).

    Attributes:
        device_hash: of the code that the command line polls with.
        user_code_hash: of the code that its user types in a browser.
        interval: the seconds it must leave between two polls.
        polled_at: when it last asked.
        state: ``pending``, ``approved``, ``denied``, or ``used`` once its tokens were handed out.
        user_id: who let it in.
    """

    __tablename__ = "device_codes"
    __table_args__ = (CheckConstraint("state IN ('pending', 'approved', 'denied', 'used')", name="state"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    device_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    device: Mapped[str] = mapped_column(String(128))
    address: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    interval: Mapped[int] = mapped_column(Integer)
    polled_at: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))


class ProviderVisit(Base):
    """A browser that was sent to a provider and has not come back; deleted when it does.

    Attributes:
        hash: of the ``state`` that the provider hands back (RFC 6749 §10.12).
        browser_hash: of the cookie of the browser that was sent, the only one that may come back.
        nonce: what an ID token must repeat (OpenID Connect Core §3.1.2.1).
        verifier: what proves that we are who asked (RFC 7636).
        return_to: the page of ours to show afterwards.
    """

    __tablename__ = "provider_visits"

    hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    provider: Mapped[str] = mapped_column(String(64))
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    nonce: Mapped[str] = mapped_column(String(64))
    verifier: Mapped[str] = mapped_column(String(128))
    return_to: Mapped[str] = mapped_column(String(512))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
